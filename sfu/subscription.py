"""What a participant receives: its subscribe connection, made of slots that follow other participants' tracks.

Slots come in places of one audio and one video m-line that share a media stream and a CNAME, so that browsers keep a
voice and its face in sync whoever sits there. A place belongs to one participant's camera side (microphone, camera) or
screen side (screen, screen-audio). Places are never taken away; more are added by a new offer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sfu import sdp
from sfu.counters import Counters
from sfu.downlink import Downlink
from sfu.feedback import REPORT_SECONDS
from sfu.publication import Publication, PublishConnection
from sfu.publish_answer import Source
from sfu.rtcp import (
    FullIntraRequest,
    Nack,
    PictureLoss,
    ReceiverReport,
    RtcpPacket,
    SenderReport,
    SourceDescription,
)
from sfu.sdp import SdpError
from sfu.subscribe_offer import SlotLine, offer, read_answer, slot_line
from sfu.transport import NEVER, PeerTransport, State

if TYPE_CHECKING:
    from sfu.forward import Slot, Stream

CHUNK_PLACES = 4  # added by one offer
MAX_PLACES = 32  # 64 m-lines; who finds none is not received: those who send nothing first
MAX_NACKED = 2048  # sequence numbers of one compound that are acted on


class SlotView(NamedTuple):
    """Whose media an m-line carries from now on."""

    mid: str
    peer_id: str
    source: Source


class Side(NamedTuple):
    """What sits in a place: the camera or the screen side of one participant."""

    peer_id: str
    screen: bool


def side_of(peer_id: str, source: Source) -> Side:
    """The side a source belongs to."""
    return Side(peer_id, source in (Source.SCREEN, Source.SCREEN_AUDIO))


@dataclass(eq=False, slots=True)
class OutgoingSlot:
    """One m-line of ours. `usable` once the subscriber agreed to a codec on it."""

    line: SlotLine
    slot: Slot
    usable: bool = False
    publication: Publication | None = None
    lost: int = 0
    reported: tuple[int, float] = (0, 0.0)  # middle of the NTP time of our latest SR, when it was sent

    def follow(self, connected: bool) -> None:
        """Carries what its publication has chosen."""
        chosen = self.publication.chosen if self.publication is not None else None
        stream = chosen.stream if chosen is not None and connected and self.usable else None
        if (self.slot.target() or self.slot.current()) is not stream:
            self.slot.follow(stream)


@dataclass(eq=False, slots=True)
class Place:
    """A pair of slots and who sits there."""

    audio: OutgoingSlot
    video: OutgoingSlot
    side: Side | None = None
    slots: tuple[OutgoingSlot, OutgoingSlot] = field(init=False)

    def __post_init__(self) -> None:
        self.slots = (self.audio, self.video)


class SubscribeOwner(Protocol):
    """Who a subscribe connection reports to: the peer in its room."""

    def connection_ready(self) -> None:
        """Media can flow."""

    def connection_failed(self, connection: object) -> None:
        """Consent or DTLS is lost."""


class SubscribeConnection:
    """One peer connection in which the server offers."""

    first_places = CHUNK_PLACES

    def __init__(
        self,
        transport: PeerTransport,
        owner: SubscribeOwner,
        streams: dict[Stream, PublishConnection],
        counters: Counters,
        session_id: int,
        now: float,
    ) -> None:
        self.transport = transport
        self.places: list[Place] = []
        self.unseated = 0  # sides that found no place
        self.downlink = Downlink(transport.path, now, counters)
        self.wake_at = now
        self._owner = owner
        self._streams = streams
        self._counters = counters
        self._session_id = session_id
        self._version = 0
        self._offered_places = 0  # of the newest offer
        self._answered_places = 0
        self._next_report_at = now + REPORT_SECONDS
        self._by_ssrc: dict[int, OutgoingSlot] = {}
        transport.owner = self
        self._grow(self.first_places)

    def _grow(self, count: int) -> None:
        for index in range(len(self.places), min(len(self.places) + count, MAX_PLACES)):
            audio = self._slot(slot_line(index, f"a{index}", audio=True))
            video = self._slot(slot_line(index, f"v{index}", audio=False))
            self.places.append(Place(audio, video))

    def _slot(self, line: SlotLine) -> OutgoingSlot:
        slot = self.transport.path.add_slot(line.mid, line.ssrc, rtx_ssrc=line.rtx_ssrc, audio=line.audio)
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
                payloads = answer.payloads[slot.line.mid]
                for kind, (payload_type, rtx) in payloads.items():
                    slot.slot.map_payload(kind, payload_type, rtx)
                slot.usable = bool(payloads)
        self._answered_places = self._offered_places
        self.transport.set_remote(answer.remote, client=answer.remote.setup == "passive", now=now)
        self.wake_at = now
        self.follow()

    # Who sits where.

    def seat(self, publications: Iterable[tuple[str, Publication]]) -> bool:
        """Gives every (peer id, publication) a slot, keeping who sits where; True when the list of slots changed."""
        wanted: dict[Side, dict[bool, Publication]] = {}
        for peer_id, publication in publications:
            wanted.setdefault(side_of(peer_id, publication.source), {})[publication.audio] = publication
        before = self.views()
        for place in self.places:
            if place.side is not None and place.side not in wanted:
                place.side = None
        active = {side for side, carried in wanted.items() if not all(each.muted for each in carried.values())}
        self._take_places(list(wanted), active)
        for place in self.places:
            carried = wanted[place.side] if place.side is not None else {}
            for slot in place.slots:
                slot.publication = carried.get(slot.line.audio)
        self.follow()
        return self.views() != before

    def _take_places(self, sides: Sequence[Side], active: Collection[Side]) -> None:
        """Seats those who stand; with no place left, those who send something take those of who sends nothing."""
        taken = {place.side for place in self.places}
        waiting = sorted((side for side in sides if side not in taken), key=lambda side: side not in active)
        free = [place for place in self.places if place.side is None]
        if len(waiting) > len(free):
            self._grow(-(-(len(waiting) - len(free)) // CHUNK_PLACES) * CHUNK_PLACES)
            free = [place for place in self.places if place.side is None]
        lacking = sum(side in active for side in waiting) - len(free)
        if lacking > 0:
            free += [place for place in self.places if place.side is not None and place.side not in active][:lacking]
        for side, place in zip(waiting, free, strict=False):
            place.side = side
        self.unseated = len(sides) - sum(place.side is not None for place in self.places)

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
        seated = [slot for slot in self._by_ssrc.values() if slot.publication is not None]
        return {
            "muted": sum(1 for slot in seated if slot.publication is not None and slot.publication.muted),
            "codec": sum(1 for slot in seated if not slot.usable and self._answered_places == self._offered_places),
            "place": self.unseated,
        }

    def follow(self) -> None:
        """Points every slot at what it should carry: nothing while no media can flow, so no keyframe is asked for."""
        connected = self.transport.state is State.CONNECTED
        for slot in self._by_ssrc.values():
            slot.follow(connected)

    # Events and timers.

    def transport_changed(self, state: State, now: float) -> None:
        """See TransportOwner."""
        self.wake_at = now
        self.follow()
        if state is State.CONNECTED:
            self._owner.connection_ready()
        elif state is State.FAILED:
            self._owner.connection_failed(self)

    def rtcp_received(self, packets: Sequence[RtcpPacket], now: float) -> None:
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
                    self._reports(packet, now)

    def _request_keyframe(self, ssrc: int, now: float) -> None:
        slot = self._by_ssrc.get(ssrc)
        stream = slot.slot.current() if slot is not None else None
        connection = self._streams.get(stream) if stream is not None else None
        if stream is not None and connection is not None:
            connection.request_keyframe(stream, now)

    def _reports(self, packet: ReceiverReport | SenderReport, now: float) -> None:
        for report in packet.reports:
            slot = self._by_ssrc.get(report.ssrc)
            if slot is None:
                continue
            if report.lost > slot.lost:
                self._counters.lost["out", "audio" if slot.line.audio else "video"] += report.lost - slot.lost
                slot.lost = report.lost
            self._counters.jitter_seconds.observe(report.jitter / (48000 if slot.line.audio else 90000))
            middle, sent_at = slot.reported
            if middle and report.last_sr == middle:
                self._counters.rtt_seconds.observe(max(0.0, now - sent_at - report.delay / 65536))

    def feedback_received(self, now: float) -> None:
        """There is something new in the path's report."""
        self.downlink.handle_timer(now)
        self.wake_at = min(self.wake_at, self.downlink.wake_at)

    def handle_timer(self, now: float) -> None:
        """All that is due; sets `wake_at`."""
        self.transport.handle_timer(now)
        if now >= self.downlink.wake_at:
            self.downlink.handle_timer(now)
        if now >= self._next_report_at:
            self._next_report_at = now + REPORT_SECONDS
            self._send_reports(now)
        self.wake_at = min(self.transport.next_timer(), self._next_report_at, self.downlink.wake_at)

    def _send_reports(self, now: float) -> None:
        if self.transport.state is not State.CONNECTED:
            return
        for ssrc, slot in self._by_ssrc.items():
            report = slot.slot.sender_report(now) if slot.publication is not None else None
            if report is not None:
                slot.reported = (report[0] >> 16 & 0xFFFFFFFF, now)
                name = SourceDescription(((ssrc, slot.line.cname.encode()),))
                self.transport.send_rtcp([SenderReport(ssrc, *report), name])

    def close(self, now: float) -> None:
        """Ends the connection."""
        for slot in self._by_ssrc.values():
            slot.publication = None
            slot.follow(False)
            self.transport.path.remove_slot(slot.slot)
        self.transport.close(now)
        self.places.clear()
        self._by_ssrc.clear()
        self.wake_at = NEVER
