"""What a participant sends: its publish connection, which binds SSRCs to the layers of its tracks.

Streams are bound to (mid, rid) once, by the header extensions of their first packets (RFC 8843 §9.2, 8852) or by the
a=ssrc lines; RTX by repaired-rid or FID group. The connection owns its transport, timers and feedback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from sfu import demand, feedback, sdp
from sfu.codecs import Kind
from sfu.demand import WantedSource
from sfu.endpoint import Endpoint
from sfu.feedback import NEVER, TRANSPORT_FEEDBACK_SECONDS, Nacks, Reports
from sfu.formats import DEFAULT_VIDEO_PREFERENCE
from sfu.publish_answer import Agreement, Source, agree, answer
from sfu.rtcp import ReceiverReport, Remb, RtcpPacket, SenderReport, SourceDescription
from sfu.rtp import Extension
from sfu.sdp import SdpError
from sfu.timers import Timed
from sfu.track import NO_RID, Change, Layer, Publication
from sfu.transport import State

if TYPE_CHECKING:
    from sfu.forward import Gate, Stream

MAX_LAYERS = 4  # of one track
REMB_BPS = 2_500_000  # told to publishers that know no transport-cc
LOCAL_SSRC = 1


class PublishOwner(Protocol):
    """Who a publish connection reports to: the peer in its room."""

    def publications_changed(self) -> None:
        """Tracks came or went."""

    def layers_changed(self) -> None:
        """A track has another layer."""

    def connection_failed(self, connection: object) -> None:
        """Consent or DTLS is lost."""


class PublishConnection(Timed):
    """One peer connection in which the client offers."""

    def __init__(
        self,
        endpoint: Endpoint,
        owner: PublishOwner,
        gate: Gate | None = None,
    ) -> None:
        """`gate` is that of the room's microphones."""
        self.transport = endpoint.transport()
        self.publications: dict[str, Publication] = {}
        self.agreement: Agreement | None = None
        self.muted: set[Source] = set()
        self._owner = owner
        self._streams = endpoint.streams
        self._session_id = endpoint.session_id()
        self._gate = gate
        self._version = 0
        self._layers: dict[Stream, Layer] = {}
        self._repair_ssrcs: dict[int, int] = {}  # RTX SSRC -> SSRC of the stream it repairs
        self.wake_at = endpoint.now()
        self._reports = Reports(LOCAL_SSRC, self.wake_at)
        self._name = SourceDescription(((LOCAL_SSRC, f"{self._session_id:x}".encode()),))
        self.transport.owner = self

    def replaced_by(self, agreement: Agreement) -> bool:
        """Whether an offer comes from another peer connection than this one's."""
        before = self.agreement
        if before is None:
            return False
        if before.remote.fingerprints != agreement.remote.fingerprints:
            return True
        return before.session_id != agreement.session_id and before.remote.ufrag != agreement.remote.ufrag

    def negotiate(self, agreement: Agreement, addresses: Sequence[str], port: int, now: float) -> str:
        """Takes an agreement over; the answer."""
        before, self.agreement = self.agreement, agreement
        if before is not None and before.remote.ufrag != agreement.remote.ufrag:
            self.transport.restart_ice(now)
        self._apply(agreement, now)
        self.transport.set_remote(agreement.remote, client=agreement.passive, now=now)
        self._version += 1
        local = self.transport.local(addresses, port)
        text = str(answer(agreement, local, self._session_id, self._version))
        self.wake_at = now
        self._owner.publications_changed()
        return text

    def _apply(self, agreement: Agreement, now: float) -> None:
        tracks = {track.mid: track for track in agreement.tracks if track.source is not None}
        for mid, publication in list(self.publications.items()):
            track = tracks.get(mid)
            if track is None or track.source is not publication.source:
                self._drop(publication)
            else:
                publication.track = track
        for mid, track in tracks.items():
            if mid not in self.publications and track.source is not None:
                self.publications[mid] = Publication(mid, track.source, track, track.source in self.muted)
        for publication in self.publications.values():
            publication.agree(publication.track.rids, now)
            for layer in [each for rid, each in publication.layers.items() if rid not in publication.views]:
                self._drop_layer(layer)
        payloads: dict[int, tuple[Kind, int, int | None]] = {}
        extensions: dict[int, Extension] = {}
        for track in agreement.tracks:
            for each in track.formats:
                payloads[each.payload_type] = (each.kind, each.clock_rate, None)
                if each.rtx is not None:
                    payloads[each.rtx] = (each.kind, each.clock_rate, each.payload_type)
            extensions.update({number: extension for number, (extension, _) in track.extensions.items()})
        self.transport.path.set_payloads(payloads)
        self.transport.path.set_extensions(extensions, {})

    def _drop(self, publication: Publication) -> None:
        del self.publications[publication.mid]
        for layer in list(publication.layers.values()):
            self._drop_layer(layer)

    def _drop_layer(self, layer: Layer) -> None:
        ssrc = layer.stream.ssrc
        layer.publication.layers.pop(layer.rid, None)
        self._layers.pop(layer.stream, None)
        self._streams.pop(layer.stream, None)
        self._reports.forget(ssrc)
        self._repair_ssrcs = {rtx: media for rtx, media in self._repair_ssrcs.items() if media != ssrc}
        self.transport.path.remove_stream(ssrc)

    # Binding SSRCs.

    def unknown_ssrc(
        self, ssrc: int, payload_type: int, mid: str | None, rid: str | None, repaired_rid: str | None, now: float
    ) -> bool:
        """An authenticated packet of an SSRC not bound yet; False when it cannot be bound (it is asked again later)."""
        publication = self._publication_of(ssrc, payload_type, mid)
        if publication is None:
            return False
        if any(each.rtx == payload_type for each in publication.track.formats):
            return self._bind_repair(publication, ssrc, repaired_rid or rid)
        if not any(each.payload_type == payload_type for each in publication.track.formats):
            return False
        return self._bind_media(publication, ssrc, rid, now)

    def _publication_of(self, ssrc: int, payload_type: int, mid: str | None) -> Publication | None:
        if mid is not None:
            return self.publications.get(mid)
        for publication in self.publications.values():
            if ssrc in publication.track.media.ssrcs or ssrc in publication.track.media.repairs:
                return publication
        fitting = [
            publication
            for publication in self.publications.values()
            if any(payload_type in (each.payload_type, each.rtx) for each in publication.track.formats)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _rid_of(self, publication: Publication, ssrc: int, rid: str | None) -> str | None:
        """The layer an SSRC belongs to, None when only later packets can tell."""
        rids = publication.track.rids
        if rid is not None and rid in rids:
            return rid
        if not rids or rid is not None:
            return NO_RID if not rids else None
        if len(rids) == 1:
            return rids[0]
        repairs = publication.track.media.repairs
        media_ssrcs = [each for each in publication.track.media.ssrcs if each not in repairs]
        if ssrc in media_ssrcs and len(media_ssrcs) == len(rids):  # Firefox lists them in the order of the rids
            return rids[media_ssrcs.index(ssrc)]
        return None

    def _bind_media(self, publication: Publication, ssrc: int, rid: str | None, now: float) -> bool:
        layer_rid = self._rid_of(publication, ssrc, rid)
        if layer_rid is None:
            return False
        old = publication.layers.get(layer_rid)
        if old is not None:  # the sender took another SSRC
            self._drop_layer(old)
        try:
            stream = self.transport.path.add_stream(ssrc, audio=publication.audio)
        except ValueError:
            return False
        view = publication.views[layer_rid]
        view.meter.pause()  # it counts from another beginning
        layer = Layer(publication, layer_rid, stream, view, Nacks(stream))
        stream.active = not publication.muted
        if publication.source is Source.MICROPHONE:
            stream.gate = self._gate
        publication.layers[layer_rid] = layer
        self._layers[stream] = layer
        self._streams[stream] = self
        repair = publication.early_repairs.pop(layer_rid, None)
        if repair is not None:
            self._repair(repair, stream)
        publication.observe(now)
        self._owner.layers_changed()
        if (
            len(publication.views) > 1
        ):  # its first packets, a keyframe with the size among them, came before it was known
            self.request_keyframe(stream, now)
        return True

    def _bind_repair(self, publication: Publication, ssrc: int, rid: str | None) -> bool:
        """An RTX SSRC; browsers send padding on it before any media, so its stream may not be there yet."""
        media_ssrc = publication.track.media.repairs.get(ssrc)
        layer_rid = None
        if media_ssrc is not None:
            for layer in publication.layers.values():
                if layer.stream.ssrc == media_ssrc:
                    self._repair(ssrc, layer.stream)
                    return True
            layer_rid = self._rid_of(publication, media_ssrc, rid)
        elif rid is not None or len(publication.track.rids) <= 1:
            layer_rid = self._rid_of(publication, ssrc, rid)
        if layer_rid is None:
            return False
        bound = publication.layers.get(layer_rid)
        if bound is None:
            publication.early_repairs[layer_rid] = ssrc
            return False
        self._repair(ssrc, bound.stream)
        return True

    def _repair(self, ssrc: int, stream: Stream) -> None:
        if self._repair_ssrcs.get(ssrc) != stream.ssrc:
            with contextlib.suppress(ValueError):  # past the data path's bound, or a media SSRC: it stays unknown
                self.transport.path.add_repair(ssrc, stream)
                self._repair_ssrcs[ssrc] = stream.ssrc

    # Events and timers.

    def lost(self, stream: Stream, sequence_numbers: Sequence[int], now: float) -> None:
        """The data path found gaps."""
        layer = self._layers.get(stream)
        if layer is None or not self._wants_nacks(layer):
            return
        if not layer.nacks.lost(sequence_numbers, now):
            self.request_keyframe(stream, now)
        self.wake_at = min(self.wake_at, layer.nacks.next_timer())

    def _wants_nacks(self, layer: Layer) -> bool:
        return any("nack" in each.feedback for each in layer.publication.track.formats)

    def request_keyframe(self, stream: Stream, now: float) -> None:
        """Somebody cannot go on without one."""
        layer = self._layers.get(stream)
        if layer is None or layer.publication.audio:
            return
        wanted_at = layer.keyframe.wanted_at
        if wanted_at is None or stream.last_keyframe_at > wanted_at:
            layer.keyframe.want(now)
        self.wake_at = min(self.wake_at, layer.keyframe.next_timer())

    def set_muted(self, source: Source, muted: bool) -> None:
        """Muted: received, not forwarded; also for tracks that come later."""
        (self.muted.add if muted else self.muted.discard)(source)
        for publication in self.publications.values():
            if publication.source is source:
                publication.muted = muted
                for layer in publication.layers.values():
                    layer.stream.active = not muted

    def transport_changed(self, state: State, now: float) -> None:
        """See TransportOwner."""
        self.wake_at = now
        if state is State.FAILED:
            self._owner.connection_failed(self)

    def rtcp_received(self, packets: Sequence[RtcpPacket], now: float, arrived_at: float) -> None:
        """See TransportOwner. Goodbyes are not acted on: a stream that ends falls silent."""
        for packet in packets:
            if isinstance(packet, SenderReport):
                for stream in self._layers:
                    if stream.ssrc == packet.ssrc:
                        stream.sender_report(packet.ntp, packet.rtp_timestamp, arrived_at)
                        self._reports.sender_report(packet, arrived_at)

    def handle_timer(self, now: float) -> None:
        """All that is due; sets `wake_at`."""
        self.transport.handle_timer(now)
        if self.transport.state is not State.CONNECTED:
            self.wake_at = self.transport.next_timer()
            return
        for stream, layer in self._layers.items():
            numbers = layer.nacks.due(now)
            if numbers:
                self._send(feedback.nack(LOCAL_SSRC, stream.ssrc, numbers))
            if layer.keyframe.due(stream.last_keyframe_at, sum(layer.view.watchers), now):
                self._send(feedback.picture_loss(LOCAL_SSRC, stream.ssrc))
        if now >= self._reports.next_feedback_at:
            self._send_transport_feedback(now)
        if now >= self._reports.next_report_at:
            self._send_reports(now)
        self.wake_at = min(
            self.transport.next_timer(),
            self._reports.next_feedback_at,
            self._reports.next_report_at,
            min((layer.nacks.next_timer() for layer in self._layers.values()), default=NEVER),
            min((layer.keyframe.next_timer() for layer in self._layers.values()), default=NEVER),
        )

    def _send_transport_feedback(self, now: float) -> None:
        self._reports.next_feedback_at = now + TRANSPORT_FEEDBACK_SECONDS
        ssrc = next((stream.ssrc for stream in self._layers), 0)
        self.transport.send_feedback(LOCAL_SSRC, ssrc, self._before())

    def _before(self) -> list[RtcpPacket]:
        """What a compound begins with (RFC 3550 §6.1); feedback goes alone only where that was agreed (RFC 5506)."""
        alone = self.agreement is not None and self.agreement.reduced_size
        return [] if alone else [ReceiverReport(LOCAL_SSRC), self._name]

    def _send(self, packet: RtcpPacket) -> None:
        if isinstance(packet, ReceiverReport):
            self.transport.send_rtcp([packet, self._name])
        else:
            self.transport.send_rtcp([*self._before(), packet])

    def _send_reports(self, now: float) -> None:
        """Receiver reports only about bound streams: browsers stop sending MID and RID at the first report."""
        reports = self._reports.receiver_reports(list(self._layers), now)
        for stream, layer in self._layers.items():
            if stream.lost > layer.lost:
                kind = "audio" if layer.publication.audio else "video"
                self.transport.counters.lost["in", kind] += stream.lost - layer.lost
                layer.lost = stream.lost
        for report in reports:
            self._send(report)
        agreement = self.agreement
        if reports and agreement is not None and agreement.feedback("goog-remb"):
            video = tuple(stream.ssrc for stream, layer in self._layers.items() if not layer.publication.audio)
            if video:
                self._send(Remb(LOCAL_SSRC, REMB_BPS * len(self.publications), video))

    def observe(self, now: float) -> Change:
        """Looks at all layers of pictures and the rate of sound: whether receivers should choose anew."""
        changes = [publication.observe(now) for publication in self.publications.values()]
        return max(changes, default=Change.NONE)

    def wanted(self, now: float) -> tuple[WantedSource, ...]:
        """Which layers of each picture somebody watches."""
        return tuple(
            WantedSource(publication.source, demand.settle(publication.views.values(), now))
            for publication in self.publications.values()
            if not publication.audio
        )

    def streams(self) -> Mapping[Stream, Layer]:
        """All bound streams."""
        return self._layers

    def close(self, now: float) -> None:
        """Ends the connection and its tracks."""
        for publication in list(self.publications.values()):
            self._drop(publication)
        self.transport.close(now)
        self.wake_at = NEVER


def read_offer(
    text: str, tracks: Mapping[str, Source], preference: Sequence[Kind] = DEFAULT_VIDEO_PREFERENCE
) -> Agreement:
    """Parses and judges a publisher's offer; SdpError leaves everything as it was."""
    agreement = agree(sdp.parse(text), tracks, preference)
    if not all(len(track.rids) <= MAX_LAYERS for track in agreement.tracks):
        raise SdpError(f"more than {MAX_LAYERS} simulcast layers")
    return agreement
