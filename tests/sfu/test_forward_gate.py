"""The audio gate: who has a seat goes on, and whoever begins to speak has one at once."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfu.forward import MAX_SEATS, Gate, Slot, Stream
from sfu.rtp import RtpPacket
from tests.sfu.exchange import Exchange, audio, opened, slot_of
from tests.sfu.gate_model import GateModel

SPEECH, SILENCE = 0x80 | 30, 127


class Room:
    """Talkers behind one gate, and one listener with a slot for each."""

    def __init__(self, exchange: Exchange, talkers: int, limit: int) -> None:
        self.exchange, self.gate = exchange, Gate(limit)
        self.publisher, self.listener = exchange.peer(), exchange.peer()
        self.streams: list[Stream] = []
        self.slots: list[Slot] = []
        self.sent = [0] * talkers
        for index in range(talkers):
            stream = self.publisher.transport.add_stream(10 + index, audio=True)
            stream.gate = self.gate
            slot = slot_of(self.listener, 100 + 2 * index, rtx=False, is_audio=True)
            slot.follow(stream)
            self.streams.append(stream)
            self.slots.append(slot)

    def say(self, index: int, level: int | None) -> list[RtpPacket]:
        """One packet 20 ms after the last of that talker; what the listener gets."""
        self.sent[index] += 1
        extensions = ((1, bytes((level,))),) if level is not None else ()
        self.publisher.send(audio(self.sent[index], ssrc=10 + index, extensions=extensions))
        return self.listener.received()

    def seated(self) -> list[int]:
        return sorted(self.streams.index(stream) for stream in self.gate.seated())


@pytest.fixture
def room(exchange: Exchange) -> Room:
    """Three talkers, two seats, taken by the first two, who last spoke just now."""
    room = Room(exchange, 3, 2)
    assert room.say(0, SPEECH)
    exchange.now += 0.1
    assert room.say(1, SPEECH)
    return room


def test_what_has_no_seat_stays_here_by_name(room: Room) -> None:
    assert room.say(2, SILENCE) == []
    assert room.exchange.dropped() == {"NOT_LOUDEST": 1}
    assert room.seated() == [0, 1]


def test_a_free_seat_is_taken_by_whatever_comes(room: Room) -> None:
    room.gate.limit = 3
    assert len(room.say(2, SILENCE)) == 1


def test_the_first_packet_of_speech_takes_the_seat_of_who_is_silent_longest(room: Room) -> None:
    room.exchange.now += 2
    assert len(room.say(2, SPEECH)) == 1
    assert room.seated() == [1, 2]


def test_a_seat_is_kept_for_two_seconds_after_speech(room: Room) -> None:
    room.exchange.now += 1.899
    assert room.say(2, SPEECH) == []
    room.exchange.now += 0.001
    assert len(room.say(2, SPEECH)) == 1


@pytest.mark.parametrize(("level", "taken"), [(0x80 | 50, True), (0x80 | 51, False), (35, True), (36, False)])
def test_speech_is_voice_and_loud_or_very_loud(room: Room, level: int, taken: bool) -> None:
    room.exchange.now += 2
    assert bool(room.say(2, level)) is taken


def test_noise_that_never_pauses_yields_to_what_is_ten_decibels_louder(room: Room) -> None:
    for _ in range(110):
        room.exchange.now += 0.02
        room.say(0, 0x80 | 45)
        room.say(1, 0x80 | 40)
    assert room.say(2, 0x80 | 36) == []
    assert len(room.say(2, 0x80 | 35)) == 1
    assert room.seated() == [1, 2]


def test_a_stream_without_levels_goes_on(room: Room) -> None:
    assert len(room.say(2, None)) == 1
    assert room.seated() == [0, 1]


def test_a_gap_of_the_gate_is_none_for_the_listener(room: Room) -> None:
    exchange = room.exchange
    room.gate.limit = 3
    (first,) = room.say(2, SPEECH)
    room.gate.limit = 2
    assert room.seated() == [1, 2]
    exchange.now += 2
    assert len(room.say(0, SPEECH)) == 1
    exchange.now += 2
    assert len(room.say(0, SPEECH)) == len(room.say(1, SPEECH)) == 1
    assert room.say(2, SILENCE) == room.say(2, SILENCE) == []
    exchange.now += 2
    (again,) = room.say(2, SPEECH)
    assert again.sequence_number == first.sequence_number + 1
    assert again.timestamp == first.timestamp + 3 * 960


def test_without_a_limit_everybody_goes_on(room: Room) -> None:
    assert room.say(2, SILENCE) == []
    room.gate.limit = 0
    assert [len(room.say(index, SILENCE)) for index in range(3)] == [1, 1, 1]
    assert room.gate.seated() == []


def test_a_stream_that_ends_or_leaves_gives_up_its_seat(room: Room) -> None:
    room.publisher.transport.remove_stream(10)
    assert room.seated() == [1]
    room.streams[1].gate = None
    assert room.gate.seated() == []
    assert len(room.say(1, SILENCE)) == 1


def test_a_stream_freed_from_its_gate_goes_on_without_a_gap(room: Room) -> None:
    room.gate.limit = 3
    (first,) = room.say(2, SPEECH)
    room.exchange.now += 0.1
    room.say(0, SPEECH), room.say(1, SPEECH)
    room.gate.limit = 2
    assert room.say(2, SILENCE) == []
    room.streams[2].gate = None
    (again,) = room.say(2, SILENCE)
    assert again.sequence_number == first.sequence_number + 1


def test_a_muted_stream_takes_no_seat(exchange: Exchange) -> None:
    room = Room(exchange, 1, 1)
    room.streams[0].active = False
    assert room.say(0, SPEECH) == []
    assert room.gate.seated() == []


@pytest.mark.parametrize("limit", [-1, MAX_SEATS + 1])
def test_a_limit_out_of_range_is_an_error(limit: int) -> None:
    with pytest.raises(ValueError, match="seats"):
        Gate(limit)


def test_the_greatest_limit_is_taken() -> None:
    assert Gate(MAX_SEATS).limit == MAX_SEATS


@given(st.integers(0, 2**32))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_random_talk_goes_on_as_the_model_says(seed: int) -> None:
    rng = random.Random(seed)
    with opened() as exchange:
        room, model = Room(exchange, 6, 3), GateModel(3)
        for _ in range(300):
            exchange.now = round(exchange.now + rng.choice([0.001, 0.02, 0.3, 1]), 3)
            level, voice = rng.choice([127, 60, rng.randrange(25, 55)]), rng.random() < 0.7
            index = rng.randrange(6)
            went_on = bool(room.say(index, voice << 7 | level))
            assert went_on is model.admit(index, level, voice, round(exchange.now * 1e6))
            assert room.seated() == sorted(model.seats)
            if rng.random() < 0.02:
                room.gate.limit = limit = rng.choice([0, 1, 3, 4])
                model.set_limit(limit)
