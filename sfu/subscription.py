"""What a participant receives: its subscribe connection, and who sits in which of its places.

Places are never taken away; more are added by a new offer. Which layer of a picture a slot carries is decided in rounds
(`sfu.allocation`), by this connection alone or together with others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from sfu import sdp
from sfu.allocation import Allocation, ReceivedStream, coarse, differ, received
from sfu.budget import Bound, Pool, Receiver
from sfu.downlink import Downlink
from sfu.endpoint import Endpoint
from sfu.feedback import REPORT_SECONDS
from sfu.rtcp import (
    FullIntraRequest,
    Nack,
    PictureLoss,
    ReceiverReport,
    RtcpPacket,
    SenderReport,
)
from sfu.sdp import SdpError
from sfu.slots import OutgoingSlot, Place, Side, SlotView, side_of
from sfu.subscribe_offer import SlotLine, offer, read_answer, slot_line
from sfu.timers import Timed
from sfu.track import Publication
from sfu.transport import NEVER, State

CHUNK_PLACES = 4  # added by one offer
MAX_PLACES = 32  # 64 m-lines; who finds none is not received: those who send nothing first
MAX_NACKED = 2048  # sequence numbers of one compound that are acted on
WAITING_SECONDS = 0.25  # between looks at a slot that waits for its layer, and between choices that better something
CONGESTED_SECONDS = 0.05  # between choices that make something worse
CALM_SECONDS = 3.0  # between reports while nothing changes
RISEN = 1.05  # what has become so much more is worth a choice
PACE = 1.25  # of what the path carries: so fast do pictures leave where bits are short, and no faster than that itself


class SubscribeOwner(Protocol):
    """Who a subscribe connection reports to: the peer in its room."""

    def connection_ready(self) -> None:
        """Media can flow."""

    def allocate(self, now: float) -> bool:
        """What its slots carry is to be chosen anew: leads to `claim` and `take`, now (True) or soon."""

    def received(self, streams: Sequence[ReceivedStream], estimate_bps: int) -> None:
        """What the slots carry has changed; at most once a second."""

    def connection_failed(self, connection: object) -> None:
        """Consent or DTLS is lost."""


class SubscribeConnection(Timed):
    """One peer connection in which the server offers."""

    first_places = CHUNK_PLACES

    def __init__(self, endpoint: Endpoint, owner: SubscribeOwner) -> None:
        now = endpoint.now()
        self.transport = endpoint.transport()
        self.places: list[Place] = []
        self.unseated = 0  # sides that found no place
        self.downlink = Downlink(self.transport.path, now, endpoint.counters)
        self.allocation = Allocation()
        self.allocate_at = NEVER
        self.rates_changed = False  # of what it could be given, so little that it may wait for the next report
        self.wake_at = now
        self._told: tuple[ReceivedStream, ...] = ()
        self._changed = False  # what it carries, or what that costs, perhaps, since it was told
        self._allocated_at = now
        self._owner = owner
        self._streams = endpoint.streams
        self._counters = endpoint.counters
        self._session_id = endpoint.session_id()
        self._version = 0
        self._offered_places = 0  # of the newest offer
        self._answered_places = 0
        self._picture_at: float | None = None  # since when there is one to receive
        self._picture_came = False
        self._next_report_at = now + REPORT_SECONDS
        self._narrow = False  # there was congestion, and something has been held back since
        self._reported = (0, 0.0)  # middle of the NTP time of our latest reports, when they were sent
        self._by_ssrc: dict[int, OutgoingSlot] = {}
        self._taken: list[OutgoingSlot] = []  # where somebody sits, or has sat until just now
        self.transport.owner = self
        self._grow(self.first_places)

    def _grow(self, count: int) -> None:
        for index in range(len(self.places), min(len(self.places) + count, MAX_PLACES)):
            audio = self._slot(slot_line(index, f"a{index}", audio=True))
            video = self._slot(slot_line(index, f"v{index}", audio=False))
            self.places.append(Place(audio, video))

    def _slot(self, line: SlotLine) -> OutgoingSlot:
        slot = self.transport.path.add_slot(
            line.mid, line.ssrc, rtx_ssrc=line.rtx_ssrc, audio=line.audio, cname=line.cname
        )
        outgoing = OutgoingSlot(line, slot)
        self._by_ssrc[line.ssrc] = outgoing
        return outgoing

    @property
    def lines(self) -> list[SlotLine]:
        """All slots in the order of their m-lines."""
        return [slot.line for place in self.places for slot in place.slots]

    # Negotiation.

    @property
    def offer_needed(self) -> bool:
        """Whether there are places the subscriber does not know of, and no offer is on its way."""
        return self._offered_places == self._answered_places and self._offered_places < len(self.places)

    def offer(self, addresses: Sequence[str], port: int) -> str:
        """The next offer."""
        self._version += 1
        self._offered_places = len(self.places)
        local = self.transport.local(addresses, port)
        return str(offer(self.lines, local, self._session_id, self._version))

    def answer(self, text: str, now: float) -> None:
        """The answer to the newest offer; SdpError leaves everything as it was."""
        lines = self.lines[: 2 * self._offered_places]
        answer = read_answer(sdp.parse(text), lines)
        before = self.transport.remote
        if before is not None and before.fingerprints != answer.remote.fingerprints:
            raise SdpError("the fingerprint is that of another peer connection: ask for a fresh offer")
        self.transport.path.set_extensions({}, answer.extensions)
        for place in self.places[: self._offered_places]:
            for slot in place.slots:
                slot.take_codecs(answer.payloads[slot.line.mid])
        self._answered_places = self._offered_places
        self.transport.set_remote(answer.remote, client=answer.remote.setup == "passive", now=now)
        self.wake_at = now
        self.allocate(now)

    # Who sits where.

    def seat(self, publications: Iterable[tuple[str, Publication]], now: float) -> bool:
        """Gives every (peer id, publication) a slot, keeping who sits where; True when the list of slots changed."""
        wanted: dict[Side, dict[bool, Publication]] = {}
        for peer_id, publication in publications:
            wanted.setdefault(side_of(peer_id, publication.source), {})[publication.audio] = publication
        before = self.views()
        for place in self.places:
            if place.side is not None and place.side not in wanted:
                place.side = None
        self._take_places({side: self._rank(side, carried.values()) for side, carried in wanted.items()})
        for place in self.places:
            carried = wanted[place.side] if place.side is not None else {}
            for slot in place.slots:
                slot.sit(carried.get(slot.line.audio), "" if place.side is None else place.side.peer_id, now)
        self._seated(now)
        return self.views() != before

    def _seated(self, now: float) -> None:
        """Somebody may sit elsewhere now."""
        if self._picture_at is None and any(
            slot.publication is not None and not slot.line.audio and not slot.publication.muted
            for slot in self._by_ssrc.values()
        ):
            self._picture_at = now
        self._taken = [slot for slot in self._by_ssrc.values() if slot.publication is not None or not slot.silent]
        self.allocate(now)

    def _rank(self, side: Side, carried: Collection[Publication]) -> int:
        """Who finds a place where they are too few: 0 before 1 before 2."""
        view, speaker = self.allocation.view, self.allocation.speaker
        if all(each.muted for each in carried):
            return 2
        seen = view is not None and any((side.peer_id, each.source) in view for each in carried)
        return 0 if seen or side.peer_id == speaker else 1

    def _take_places(self, ranks: Mapping[Side, int]) -> None:
        """Seats those who stand; with no place left, they take those of whoever ranks behind them."""
        taken = {place.side for place in self.places}
        waiting = sorted((side for side in ranks if side not in taken), key=ranks.__getitem__)
        free = [place for place in self.places if place.side is None]
        if len(waiting) > len(free):
            self._grow(-(-(len(waiting) - len(free)) // CHUNK_PLACES) * CHUNK_PLACES)
            free = [place for place in self.places if place.side is None]
        seated = sorted(
            ((place.side, place) for place in self.places if place.side is not None), key=lambda each: -ranks[each[0]]
        )
        for side, (last, place) in zip(waiting[len(free) :], seated, strict=False):
            if ranks[last] > ranks[side]:
                free.append(place)
        for side, place in zip(waiting, free, strict=False):
            place.side = side
        self.unseated = len(ranks) - sum(place.side is not None for place in self.places)

    def views(self) -> list[SlotView]:
        """Who is where, for the client; only m-lines it was offered."""
        return [
            SlotView(slot.line.mid, place.side.peer_id, slot.publication.source)
            for place in self.places[: self._offered_places]
            for slot in place.slots
            if place.side is not None and slot.publication is not None
        ]

    def paused(self) -> dict[str, int]:
        """Slots that forward nothing although somebody sits there, and sides without a place, by reason."""
        result = {"muted": 0, "codec": 0, "hidden": 0, "link": 0, "uplink": 0, "place": self.unseated}
        for slot in self._by_ssrc.values():
            if slot.publication is None:
                continue
            if slot.publication.muted:
                result["muted"] += 1
            elif slot.undecodable:
                result["codec"] += 1
            elif not slot.line.audio and slot.choice is None and slot.limit in result:
                result[slot.limit] += 1
        return result

    # What they carry.

    def allocate(self, now: float) -> None:
        """Has it chosen, and follows what is not a matter of choice."""
        self.allocate_at = NEVER
        self.rates_changed = False
        if not self._owner.allocate(now):
            self.follow(now)

    def allocate_by(self, at: float) -> None:
        """Has it chosen at a moment soon."""
        self.allocate_at = min(self.allocate_at, at)
        self.wake_at = min(self.wake_at, at)

    def claim(self, room: Pool, now: float) -> Receiver:
        """What it asks of the budget."""
        return self.allocation.claim(self._taken, self.downlink, room, now)

    def take(self, receiver: Receiver, now: float) -> None:
        """What it was granted; the slots follow."""
        self.allocation.take(receiver, now)
        self._counters.layer_switches.update(self.allocation.take_switches())
        self._allocated_at = now
        self.downlink.want(self.allocation.wanted_bps)
        self.wake_at = min(self.wake_at, now)
        self.allocate_by(self.allocation.again_at)
        self._pace(now)
        self.follow(now)

    def follow(self, now: float) -> None:
        """Points every slot at what it should carry: nothing while no media can flow, so no keyframe is asked for."""
        connected = self.transport.state is State.CONNECTED
        waiting = False
        self._report_soon(now)
        for slot in self._taken:
            slot.follow(connected, now)
            waiting = waiting or slot.waiting_since is not None
        if waiting:
            self.allocate_by(now + WAITING_SECONDS)

    def switched(self, ssrc: int, now: float) -> None:
        """The slot of that SSRC has gone over to the stream it waited for."""
        slot = self._by_ssrc.get(ssrc)
        if slot is None:
            return
        slot.switched(self.transport.state is State.CONNECTED, now)
        self._report_soon(now)
        if self._picture_at is not None and not self._picture_came and not slot.line.audio:
            self._picture_came = True
            self._counters.first_frame_seconds.observe(now - self._picture_at)

    def _report_soon(self, now: float) -> None:
        """What the slots carry, or what that costs, may be another."""
        self._changed = True
        self._next_report_at = min(self._next_report_at, now + REPORT_SECONDS)
        self.wake_at = min(self.wake_at, self._next_report_at)

    def _tell_received(self) -> None:
        if not self._changed:
            return
        self._changed = False
        streams = received(self._taken)
        if differ(self._told, streams):
            self._told = streams
            self._owner.received(streams, coarse(self.downlink.estimate_bps) if self.downlink.known else 0)

    # Events and timers.

    def transport_changed(self, state: State, now: float) -> None:
        """See TransportOwner."""
        self.wake_at = now
        self.allocation.flows = state is State.CONNECTED
        self.allocate_by(now)
        self.follow(now)
        if state is State.CONNECTED:
            self._owner.connection_ready()
        elif state is State.FAILED:
            self._owner.connection_failed(self)

    def rtcp_received(self, packets: Sequence[RtcpPacket], now: float, arrived_at: float) -> None:
        """See TransportOwner."""
        self.downlink.rtcp(packets, now)
        nacked = 0
        for packet in packets:
            match packet:
                case Nack(_, ssrc, numbers):
                    slot = self._by_ssrc.get(ssrc)
                    nacked += len(numbers)
                    if slot is not None and nacked <= MAX_NACKED:
                        slot.slot.retransmit(numbers)
                case PictureLoss(_, ssrc):
                    self._request_keyframe(ssrc, now)
                case FullIntraRequest(_, requests):
                    for ssrc, _number in requests:
                        self._request_keyframe(ssrc, now)
                case ReceiverReport() | SenderReport():
                    self._reports(packet, arrived_at)

    def _request_keyframe(self, ssrc: int, now: float) -> None:
        slot = self._by_ssrc.get(ssrc)
        stream = slot.slot.current() if slot is not None else None
        connection = self._streams.get(stream) if stream is not None else None
        if stream is not None and connection is not None:
            connection.request_keyframe(stream, now)

    def _reports(self, packet: ReceiverReport | SenderReport, arrived_at: float) -> None:
        for report in packet.reports:
            slot = self._by_ssrc.get(report.ssrc)
            if slot is None:
                continue
            if report.lost > slot.lost:
                self._counters.lost["out", "audio" if slot.line.audio else "video"] += report.lost - slot.lost
                slot.lost = report.lost
            self._counters.jitter_seconds.observe(report.jitter / (48000 if slot.line.audio else 90000))
            middle, sent_at = self._reported
            if middle and report.last_sr == middle:
                self._counters.rtt_seconds.observe(max(0.0, arrived_at - sent_at - report.delay / 65536))

    def feedback_received(self, now: float) -> None:
        """There is something new in the path's report."""
        self.downlink.handle_timer(now)
        self._watch_path(now)
        self._pace(now)
        self.wake_at = min(self.wake_at, self.downlink.wake_at)

    def _watch_path(self, now: float) -> None:
        """Has it chosen anew when the path takes less than is given, or more than it did while it bounds something."""
        allocation, estimate = self.allocation, self.downlink.estimate_bps
        sunken = estimate < allocation.link_bps and estimate < allocation.used_bps
        if sunken or (allocation.tried and self.downlink.congested):
            self.allocate_by(max(now, self._allocated_at + CONGESTED_SECONDS))
            if self.allocate_at <= now:
                self.allocate(now)
        elif Bound.LINK in allocation.bounds and estimate > RISEN * allocation.link_bps:
            self.allocate_by(max(now, self._allocated_at + WAITING_SECONDS))

    def _pace(self, now: float) -> None:
        """On a path known to be narrow pictures wait here, behind the sound, and not in the path's queue before it.

        What holds a picture back before there was any congestion is only that nobody knows yet what the path takes.
        """
        allocation, downlink = self.allocation, self.downlink
        self._narrow = downlink.congested or (self._narrow and allocation.cautious(now))
        pace = 0
        if self._narrow and downlink.known:
            bps = max(downlink.carried_bps, allocation.used_bps if allocation.tried else 0)
            pace = int(bps if downlink.congested else PACE * bps)
        self.transport.path.pace(pace)

    def handle_timer(self, now: float) -> None:
        """All that is due; sets `wake_at`."""
        self.transport.handle_timer(now)
        if now >= self.downlink.wake_at:
            self.downlink.handle_timer(now)
            self._watch_path(now)
            self._pace(now)
        if now >= self.allocate_at:
            self.allocate(now)
        if now >= self._next_report_at:
            self._reported = self.transport.send_reports(now) or 0, now
            if self.rates_changed:
                self.allocate(now)
            self._tell_received()
            self._next_report_at = now + CALM_SECONDS
        self.wake_at = min(self.transport.next_timer(), self._next_report_at, self.downlink.wake_at, self.allocate_at)

    def close(self, now: float) -> None:
        """Ends the connection."""
        for slot in self._by_ssrc.values():
            slot.close(now)
            self.transport.path.remove_slot(slot.slot)
        self.transport.close(now)
        self.places.clear()
        self._taken.clear()
        self._by_ssrc.clear()
        self.wake_at = NEVER
