"""Pacers: what waits for the host's uplink or for a narrow path, what does not, what is dropped. Time is explicit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import pytest

from sfu.forward import MAX_PRIORITY, MAX_WAITING, Event, Kind, Slot, Stream
from sfu.rtp import Extension, RtpPacket, parse_rtp
from tests.sfu.exchange import KEYFRAME, SEND, Exchange, Peer, audio, opened, slot_of, video

MBIT = 1_000_000
HEADERS = 28
BODY = bytes(1000)
NEVER = float("inf")


@dataclass
class Room:
    """A publisher of some videos and one voice, a subscriber with a slot for each, and what has come out when."""

    exchange: Exchange
    publisher: Peer
    subscriber: Peer
    streams: list[Stream] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    came: list[tuple[float, bytes]] = field(default_factory=list)
    numbers: Counter[int] = field(default_factory=Counter)

    def add_video(self, priority: int = 1) -> int:
        """Its SSRC; the slot's is that and 100."""
        ssrc = 10 + len(self.streams)
        self.streams.append(self.publisher.transport.add_stream(ssrc, audio=False))
        slot = self.subscriber.transport.add_slot("m", 100 + ssrc, rtx_ssrc=200 + ssrc, audio=False)
        slot.map_payload(Kind.VP8, 120, 121)
        slot.priority = priority
        slot.follow(self.streams[-1])
        self.slots.append(slot)
        return ssrc

    def frame(self, ssrc: int, packets: int, *, key: bool = False) -> None:
        """A picture of 1000-byte packets, in one batch."""
        first = KEYFRAME if key else b"\x10\x11"
        batch = []
        for index in range(packets):
            payload = (first if index == 0 else b"\x00") + BODY
            batch.append(video(self.numbers[ssrc], payload, ssrc=ssrc, timestamp=int(self.exchange.now * 90000)))
            self.numbers[ssrc] += 1
        self.publisher.send(*batch)
        self.collect()

    def collect(self) -> None:
        self.came += [(self.exchange.now, data) for data in self.subscriber.raw()]

    def advance(self, seconds: float) -> None:
        """Drains whenever the forwarder asks for it."""
        end = self.exchange.now + seconds
        while (wake_at := self.exchange.forwarder.drain_at) <= end:
            self.exchange.now = max(self.exchange.now, wake_at)
            self.exchange.forwarder.drain(self.exchange.now)
            self.collect()
        self.exchange.now = end

    def received(self) -> list[RtpPacket]:
        """All so far, decrypted, in the order of arrival."""
        packets = [parse_rtp(self.subscriber.inbound.unprotect(data)) for _, data in self.came]
        self.came.clear()
        return packets

    def dropped(self) -> int:
        return self.exchange.dropped().get("UPLINK", 0)


@pytest.fixture
def room() -> Iterator[Room]:
    with opened() as exchange:
        yield Room(exchange, exchange.peer(), exchange.peer())


def most_in_a_second(came: list[tuple[float, bytes]]) -> int:
    """Bits, headers included, of the fullest second."""
    most = total = first = 0
    for at, data in came:
        total += 8 * (len(data) + HEADERS)
        while came[first][0] <= at - 1.0:
            total -= 8 * (len(came[first][1]) + HEADERS)
            first += 1
        most = max(most, total)
    return most


def extension(packet: RtpPacket, meaning: Extension) -> int:
    return int.from_bytes(packet.extension(SEND[meaning]) or b"")


@pytest.mark.parametrize("mbit", [1, 4, 20])
def test_no_second_carries_more_than_the_budget(room: Room, mbit: int) -> None:
    room.exchange.forwarder.set_uplink(mbit * MBIT)
    random = Random(mbit)
    videos = [room.add_video(random.randrange(4)) for _ in range(6)]
    for step in range(75):
        for ssrc in videos:
            key = step == 0 or random.random() < 0.05
            room.frame(ssrc, random.randrange(8, 30) if key else random.randrange(1, 2 + 3 * mbit), key=key)
        room.advance(0.04)
    assert room.dropped() > 0
    used = most_in_a_second(room.came)
    assert 0.9 * mbit * MBIT < used <= 1.05 * mbit * MBIT


def test_without_a_budget_nothing_waits(room: Room) -> None:
    ssrc = room.add_video()
    room.frame(ssrc, 100, key=True)
    assert len(room.came) == 100
    assert room.exchange.forwarder.drain_at == NEVER
    assert room.exchange.forwarder.uplink_wait_us == 0


@pytest.mark.parametrize("of_path", [False, True], ids=["uplink", "path"])
def test_a_limit_taken_away_lets_all_go(room: Room, of_path: bool) -> None:
    limit = room.subscriber.transport.pace if of_path else room.exchange.forwarder.set_uplink
    limit(100_000)
    ssrc = room.add_video()
    room.frame(ssrc, 20, key=True)
    assert len(room.came) < 3
    limit(0)
    room.collect()
    assert len(room.came) == 20
    assert room.exchange.forwarder.drain_at == NEVER
    room.frame(ssrc, 20)
    assert len(room.came) == 40
    with pytest.raises(ValueError, match="negative"):
        limit(-1)


def test_audio_never_waits_and_video_pays(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    ssrc = room.add_video()
    sound = room.publisher.transport.add_stream(2, audio=True)
    slot_of(room.subscriber, 300, is_audio=True).follow(sound)
    room.frame(ssrc, 15, key=True)
    heard = 0
    for number in range(60):
        room.publisher.send(audio(number))
        came = room.subscriber.raw()
        heard += sum(data[1] & 0x7F == 109 for data in came)
        assert heard == number + 1
        room.came += [(room.exchange.now, data) for data in came]
        room.advance(0.02)
    assert most_in_a_second(room.came) <= 1.05 * MBIT
    assert room.dropped() == 0


def test_rtcp_never_waits(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    room.frame(room.add_video(), 10, key=True)
    before = len(room.came)
    assert room.subscriber.transport.send_reports(room.exchange.now) is not None
    room.collect()
    assert len(room.came) == before + 1


def test_what_waits_keeps_its_order_and_numbers(room: Room) -> None:
    room.exchange.forwarder.set_uplink(4 * MBIT)
    ssrc = room.add_video()
    for step in range(25):
        room.frame(ssrc, 30 if step == 0 else 5, key=step == 0)
        room.advance(0.02)
    room.advance(0.25)
    packets = room.received()
    assert len(packets) == 30 + 24 * 5
    first = packets[0].sequence_number
    assert [packet.sequence_number for packet in packets] == [first + index for index in range(len(packets))]
    wide = [extension(packet, Extension.TRANSPORT_SEQUENCE) for packet in packets]
    assert wide == list(range(len(packets)))
    assert room.dropped() == 0


def test_send_times_are_those_of_leaving(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    room.frame(room.add_video(), 20, key=True)
    room.advance(0.2)
    stamps = [extension(packet, Extension.ABS_SEND_TIME) for packet in room.received()]
    assert 0.12 < (stamps[-1] - stamps[0]) / (1 << 18) < 0.2


def test_higher_priorities_go_first(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    thumbnail, speaker = room.add_video(0), room.add_video(MAX_PRIORITY)
    room.frame(thumbnail, 10, key=True)
    room.frame(speaker, 10, key=True)
    room.advance(0.24)
    order = [packet.ssrc - 100 for packet in room.received()]
    assert order.count(speaker) == 10
    last_of_speaker = max(index for index, ssrc in enumerate(order) if ssrc == speaker)
    assert thumbnail in order[last_of_speaker:]


def test_thumbnails_are_dropped_first_and_whole(room: Room) -> None:
    room.exchange.forwarder.set_uplink(2 * MBIT)
    thumbnail, speaker = room.add_video(0), room.add_video(3)
    for step in range(50):
        room.frame(thumbnail, 5, key=step in (0, 40))
        room.frame(speaker, 6, key=step == 0)
        room.advance(0.04)
    speakers = [packet for packet in room.received() if packet.ssrc == 100 + speaker]
    assert len(speakers) >= 6 * 44
    assert room.dropped() > 0


def test_a_slot_that_was_shed_goes_on_with_a_keyframe_and_without_a_gap(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    ssrc = room.add_video()
    room.frame(ssrc, 60, key=True)
    room.exchange.take(Event.KEYFRAME_NEEDED)
    room.advance(0.3)
    sent = [packet.sequence_number for packet in room.received()]
    assert len(sent) < 60
    assert room.dropped() == 60 - len(sent)
    room.frame(ssrc, 1)
    assert room.exchange.take(Event.KEYFRAME_NEEDED) == [(room.streams[0],)]
    assert room.exchange.dropped()["AWAITING_KEYFRAME"] == 1
    room.frame(ssrc, 2, key=True)
    room.advance(0.1)
    assert [packet.sequence_number for packet in room.received()] == [sent[-1] + 1, sent[-1] + 2]


@pytest.mark.parametrize("packets", [1, 4])
def test_pictures_that_were_shed_leave_no_gap_in_their_ids(room: Room, packets: int) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    ssrc, picture = room.add_video(), 100

    def frame(packets: int, *, key: bool = False) -> None:
        nonlocal picture
        picture += 1
        described = b"\xe0" + (0x8000 | picture).to_bytes(2) + bytes([picture - 80, 0])  # I, L, T; T0
        batch = [
            video(
                room.numbers[ssrc] + index,
                bytes([0x90 if index == 0 else 0x80]) + described + (b"\x00" if key else b"\x01") + KEYFRAME[2:] + BODY,
                ssrc=ssrc,
                timestamp=picture * 3000,
            )
            for index in range(packets)
        ]
        room.numbers[ssrc] += packets
        room.publisher.send(*batch)
        room.collect()

    frame(1, key=True)
    for _ in range(40):
        frame(packets)
    room.advance(0.3)
    sent = room.received()
    assert room.dropped() > 0
    room.advance(0.3)
    frame(1, key=True)
    room.advance(0.1)
    numbers = [(packet.payload[2:4], packet.payload[4]) for packet in (sent[-1], *room.received())]
    ((before, level), (after, next_level)) = numbers
    assert int.from_bytes(after) == int.from_bytes(before) + 1
    assert next_level == level + 1


def test_who_was_shed_is_silent_while_the_queue_is_long(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    thumbnail, speaker = room.add_video(0), room.add_video(3)
    room.frame(thumbnail, 30, key=True)
    for _ in range(8):
        room.frame(speaker, 4, key=True)
        room.advance(0.035)
    room.exchange.take(Event.KEYFRAME_NEEDED)
    room.frame(speaker, 20)
    before = room.dropped()
    room.frame(thumbnail, 5, key=True)
    assert room.dropped() == before + 5
    assert room.exchange.take(Event.KEYFRAME_NEEDED) == []


def test_the_queue_is_bounded(room: Room) -> None:
    ssrcs = [room.add_video(0) for _ in range(18)]
    room.exchange.forwarder.set_uplink(1)
    room.frame(ssrcs[0], 1, key=True)
    assert len(room.came) == 1
    for ssrc in ssrcs[:16]:
        for part in range(3):
            room.frame(ssrc, 170, key=part == 0 and ssrc != ssrcs[0])
    room.frame(ssrcs[16], MAX_WAITING - 16 * 510, key=True)
    assert room.dropped() == 0
    room.frame(ssrcs[17], 1, key=True)
    assert room.dropped() == 510


def test_repairs_may_borrow_a_little(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    ssrc = room.add_video()
    room.frame(ssrc, 2, key=True)
    room.exchange.now += 0.1
    room.frame(ssrc, 2)
    numbers = [packet.sequence_number for packet in room.received()]
    assert len(numbers) == 4
    assert room.slots[0].retransmit(numbers) == 3
    assert room.dropped() == 1
    room.exchange.now += 0.1
    assert room.slots[0].retransmit(numbers[3:]) == 1


def test_padding_is_refused_when_there_is_no_room(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    room.frame(room.add_video(), 10, key=True)
    assert room.exchange.forwarder.uplink_wait_us > 0
    assert room.subscriber.transport.pad(3000) == 0
    assert room.dropped() > 0
    room.advance(0.24)
    assert room.exchange.forwarder.drain_at == NEVER
    room.exchange.now += 0.1
    assert room.subscriber.transport.pad(1000) > 0


def test_policy_hears_of_waiting_and_of_a_long_queue(room: Room) -> None:
    forwarder = room.exchange.forwarder
    forwarder.set_uplink(MBIT)
    ssrc = room.add_video()
    room.frame(ssrc, 4, key=True)
    assert room.exchange.take(Event.WAITING) == [()]
    assert room.exchange.take(Event.UPLINK_FULL) == []
    assert forwarder.drain_at == pytest.approx(room.exchange.now + 0.005)
    room.frame(ssrc, 12)
    assert room.exchange.take(Event.UPLINK_FULL) == [()]
    assert 100_000 < forwarder.uplink_wait_us < 160_000
    room.frame(ssrc, 1)
    assert room.exchange.take(Event.UPLINK_FULL) == []
    assert room.exchange.take(Event.WAITING) == []


def test_what_waits_is_dropped_with_its_stream_or_slot(room: Room) -> None:
    room.exchange.forwarder.set_uplink(MBIT)
    gone, left = room.add_video(), room.add_video()
    room.frame(gone, 10, key=True)
    room.frame(left, 5, key=True)
    room.publisher.transport.remove_stream(gone)
    assert room.exchange.forwarder.uplink_wait_us < 60_000
    room.subscriber.transport.remove_slot(room.slots[1])
    assert room.exchange.forwarder.drain_at == NEVER
    room.advance(0.1)


def test_priorities_are_few(room: Room) -> None:
    room.add_video(MAX_PRIORITY)
    assert room.slots[0].priority == MAX_PRIORITY
    for wrong in (-1, MAX_PRIORITY + 1):
        with pytest.raises(ValueError, match="priority"):
            room.slots[0].priority = wrong


def test_a_paced_path_is_sent_no_more_than_it_carries_and_others_all_at_once(room: Room) -> None:
    ssrc = room.add_video()
    other = room.exchange.peer()
    slot = other.transport.add_slot("m", 900, rtx_ssrc=901, audio=False)
    slot.map_payload(Kind.VP8, 120, 121)
    slot.follow(room.streams[0])
    room.subscriber.transport.pace(MBIT)
    for step in range(25):
        room.frame(ssrc, 10 if step == 0 else 2, key=step == 0)
        assert len(other.raw()) == (10 if step == 0 else 2)
        room.advance(0.04)
    room.advance(1.0)
    assert most_in_a_second(room.came) <= 1.05 * MBIT
    assert len(room.received()) == 10 + 24 * 2
    assert room.exchange.dropped() == {}


def test_sound_does_not_wait_behind_pictures_of_its_path(room: Room) -> None:
    room.subscriber.transport.pace(300_000)
    ssrc = room.add_video()
    sound = room.publisher.transport.add_stream(2, audio=True)
    slot_of(room.subscriber, 300, is_audio=True).follow(sound)
    room.frame(ssrc, 15, key=True)
    for number in range(20):
        room.publisher.send(audio(number))
        came = room.subscriber.raw()
        assert sum(data[1] & 0x7F == 109 for data in came) == 1
        room.came += [(room.exchange.now, data) for data in came]
        room.advance(0.02)
    assert 0.9 * 0.4 * 300_000 < most_in_a_second(room.came) < 1.2 * 0.4 * 300_000  # 0.4 s of it


def test_a_keyframe_may_need_most_of_a_second_of_a_path(room: Room) -> None:
    room.subscriber.transport.pace(200_000)
    room.frame(room.add_video(), 15, key=True)
    room.advance(1.1)
    assert len(room.came) == 15
    assert room.exchange.dropped() == {}


def test_a_path_too_slow_for_its_pictures_goes_on_with_a_keyframe(room: Room) -> None:
    room.subscriber.transport.pace(100_000)
    ssrc = room.add_video()
    room.frame(ssrc, 30, key=True)
    room.advance(1.1)
    sent = [packet.sequence_number for packet in room.received()]
    assert room.exchange.dropped() == {"PATH": 30 - len(sent)}
    room.frame(ssrc, 1)
    assert room.exchange.dropped()["AWAITING_KEYFRAME"] == 1
    room.frame(ssrc, 2, key=True)
    room.advance(0.3)
    assert [packet.sequence_number for packet in room.received()] == [sent[-1] + 1, sent[-1] + 2]


def test_another_layer_does_not_wait_behind_what_is_left_of_the_one_before(room: Room) -> None:
    ssrc, smaller = room.add_video(), room.add_video()
    room.slots[1].follow(None)
    room.frame(ssrc, 1, key=True)
    room.subscriber.transport.pace(300_000)
    room.frame(ssrc, 20)
    room.slots[0].follow(room.streams[1])
    room.frame(smaller, 3, key=True)
    room.advance(0.2)
    packets = room.received()
    first = packets[0].sequence_number
    assert [packet.sequence_number for packet in packets] == [first + index for index in range(len(packets))]
    assert [len(packet.payload) for packet in packets[-3:]] == [len(KEYFRAME) + 1000, 1001, 1001]
    assert len(packets) < 10
    assert room.exchange.dropped()["PATH"] == 24 - len(packets)
    room.frame(smaller, 1)
    room.advance(0.1)
    assert len(room.received()) == 1


def test_a_paced_path_waits_for_the_uplink_too(room: Room) -> None:
    room.exchange.forwarder.set_uplink(500_000)
    room.subscriber.transport.pace(MBIT)
    ssrc = room.add_video()
    for step in range(25):
        room.frame(ssrc, 2, key=step == 0)
        room.advance(0.04)
    room.advance(1.5)
    assert most_in_a_second(room.came) <= 1.05 * 500_000
    assert len(room.came) == 50


def test_repairs_of_pictures_owe_a_path_little_and_those_of_sound_are_free(room: Room) -> None:
    ssrc = room.add_video()
    sound = room.publisher.transport.add_stream(2, audio=True)
    voice = slot_of(room.subscriber, 300, is_audio=True, rtx=False)
    voice.follow(sound)
    room.publisher.send(audio(1))
    (spoken,) = room.subscriber.raw()
    room.frame(ssrc, 6, key=True)
    numbers = [packet.sequence_number for packet in room.received()]
    room.subscriber.transport.pace(200_000)
    assert 1 <= room.slots[0].retransmit(numbers) < 5
    assert room.exchange.dropped()["PATH"] > 0
    assert voice.retransmit([int.from_bytes(spoken[2:4])]) == 1


def test_probes_are_not_counted_against_a_pace(room: Room) -> None:
    room.frame(room.add_video(), 3, key=True)
    room.subscriber.transport.pace(100_000)
    assert room.subscriber.transport.pad(20_000) >= 19_000
    room.collect()
    before = len(room.came)
    room.frame(10, 1)
    assert len(room.came) == before + 1


def test_a_path_that_ends_takes_along_what_waits_of_it(room: Room) -> None:
    ssrc = room.add_video()
    room.subscriber.transport.pace(100_000)
    room.frame(ssrc, 20, key=True)
    assert room.exchange.forwarder.drain_at != NEVER
    room.subscriber.transport.close()
    assert room.exchange.forwarder.drain_at == NEVER
    room.exchange.forwarder.drain(room.exchange.now + 1)
    room.frame(ssrc, 2)
    assert room.exchange.forwarder.drain_at == NEVER
