"""What sfu.forward does to packets, in plain Python: the streams in, the slots out. Compared with it byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sfu.codecs import ALL_LAYERS, CodecError, Kind, LayerMarks, keyframe, layer_marks, parse_vp8, parse_vp9
from sfu.dependency import Dependencies
from sfu.rtp import Extension, RtpPacket

EPOCHS, LAYERED_EPOCHS = 8, 128
WINDOW = 1024
CACHE_ENTRIES = 1024
MAX_DROPOUT = 3000
RESEND_SECONDS = 0.020
OURS = (Extension.MID, Extension.ABS_SEND_TIME, Extension.TRANSPORT_SEQUENCE)
DROPPED = (*OURS, Extension.RID, Extension.REPAIRED_RID)


@dataclass(eq=False)
class StreamModel:
    """An incoming stream: extended sequence numbers, duplicates, cache."""

    ssrc: int
    audio: bool
    publisher: object
    kinds: Mapping[int, tuple[Kind, int]]
    meanings: Mapping[int, Extension] = field(default_factory=dict)
    active: bool = True
    highest: int | None = None
    base: int = 0
    seen: set[int] = field(default_factory=set)
    suspect: int | None = None
    cache: dict[int, tuple[int, RtpPacket, LayerMarks]] = field(default_factory=dict)
    dependencies: Dependencies = field(default_factory=Dependencies)
    followers: list[SlotModel] = field(default_factory=list)

    def place(self, number: int, repaired: bool) -> int | None:
        """The extended sequence number, None when the packet is dropped."""
        if self.highest is None:
            if repaired:
                return None
            return self._start(65536 + number)
        delta = (number - self.highest + 0x8000) % 0x10000 - 0x8000
        extended = self.highest + delta
        if delta > MAX_DROPOUT or delta <= -WINDOW:
            if repaired or self.suspect != number:
                if not repaired:
                    self.suspect = (number + 1) % 0x10000
                return None
            self.interrupt()
            return self._start((self.highest | 0xFFFF) + 1 + number)
        if extended in self.seen:
            return None
        self.suspect = None
        self.highest = max(self.highest, extended)
        self.seen.add(extended)
        return extended

    def _start(self, extended: int) -> int:
        self.highest = self.base = extended
        self.seen = {extended}
        self.suspect = None
        return extended

    def missing(self) -> set[int]:
        """Sequence numbers skipped and still not there."""
        if self.highest is None:
            return set()
        return {
            n & 0xFFFF for n in range(max(self.base, self.highest - WINDOW + 1), self.highest) if n not in self.seen
        }

    def interrupt(self) -> None:
        """Slots must start over."""
        for slot in self.followers:
            if slot.current is self:
                slot.resync = True

    def receive(self, packet: RtpPacket, *, repaired: bool = False) -> tuple[int, RtpPacket, LayerMarks] | None:
        """(extended sequence number, packet, layers) of what goes on to slots."""
        extended = self.place(packet.sequence_number, repaired)
        if extended is None:
            return None
        packet = replace(packet, padding_bytes=0)
        marks = self._marks(packet)
        if not self.active or not self.followers:
            return None
        self.cache[extended % CACHE_ENTRIES] = extended, packet, marks
        return extended, packet, marks

    def _marks(self, packet: RtpPacket) -> LayerMarks:
        kind, _ = self.kinds[packet.payload_type]
        marks = read_marks(kind, packet)
        fields = read_fields(kind, packet, self.meanings)
        if kind not in (Kind.AV1, Kind.H264) or fields.frame is None:
            return marks
        told = self.dependencies.read(packet.extensions[fields.frame[1]][1], packet.timestamp)
        if told is None:
            return marks
        if starts_decoder(kind, packet):
            return replace(told, opens_from=marks.opens_from, opens_to=marks.opens_to, opens_spatial=True)
        return told


@dataclass
class Fields:
    """Counters inside a payload or extension: value and offset."""

    picture: tuple[int, int, bool] | None = None
    layer: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None  # value, index into extensions


def read_fields(kind: Kind, packet: RtpPacket, meanings: Mapping[int, Extension]) -> Fields:
    """What a switch must continue."""
    fields = Fields()
    if kind <= Kind.OPUS or not packet.payload:
        return fields
    if kind in (Kind.VP8, Kind.VP9):
        try:
            descriptor = parse_vp8(packet.payload) if kind is Kind.VP8 else parse_vp9(packet.payload)
        except CodecError:
            descriptor = None
        if descriptor and descriptor.picture_id is not None:
            fields.picture = descriptor.picture_id, descriptor.picture_id_offset, descriptor.wide
        if descriptor and descriptor.tl0_picture is not None:
            fields.layer = descriptor.tl0_picture, descriptor.tl0_picture_offset
    for index, (identifier, value) in enumerate(packet.extensions):
        if meanings.get(identifier) is Extension.DEPENDENCY_DESCRIPTOR:
            if len(value) >= 3:
                fields.frame = int.from_bytes(value[1:3], "big"), index
            break
    return fields


def starts_decoder(kind: Kind, packet: RtpPacket) -> bool:
    """Whether a switch may happen here."""
    if not packet.payload:
        return kind <= Kind.OPUS
    try:
        return keyframe(kind, packet.payload)
    except CodecError:
        return False


def read_marks(kind: Kind, packet: RtpPacket) -> LayerMarks:
    """Layers; the lowest where nothing can be read."""
    try:
        return layer_marks(kind, packet.payload) if packet.payload else LayerMarks()
    except CodecError:
        return LayerMarks()


def hollow(packet: RtpPacket) -> RtpPacket:
    """What is left of an unwanted packet that fills a gap."""
    return replace(packet, payload=b"", marker=False)


@dataclass
class Epoch:
    """A stretch of one stream in a slot's timeline."""

    stream: StreamModel
    first_source: int
    first_out: int
    continues: bool = False
    spatial: int = ALL_LAYERS
    temporal: int = ALL_LAYERS
    timestamp: int = 0
    picture: int = 0
    layer: int = 0
    frame: int = 0

    @property
    def offset(self) -> int:
        return self.first_out - self.first_source

    def wants(self, marks: LayerMarks) -> bool:
        """Whether a packet of these layers goes out."""
        return marks.spatial <= self.spatial and marks.temporal <= self.temporal


@dataclass(eq=False)
class SlotModel:
    """An outgoing m-line."""

    mid: str
    ssrc: int
    rtx_ssrc: int | None
    audio: bool
    payload_types: Mapping[Kind, tuple[int, int | None]]
    receive: Mapping[int, Extension]
    send: Mapping[Extension, int]
    current: StreamModel | None = None
    target: StreamModel | None = None
    resync: bool = False
    epochs: list[Epoch] = field(default_factory=list)
    remembered: int = EPOCHS
    limits: tuple[int, int] = (ALL_LAYERS, ALL_LAYERS)
    layered: bool = False
    skipped: bool = False
    picture_timestamp: int = 0
    highest: int = 0
    last_timestamp: int = 0
    last_at_us: int = 0
    last_picture: int | None = None
    last_layer: int | None = None
    last_frame: int | None = None
    rtx_sequence: int = 0
    resent: dict[int, int] = field(default_factory=dict)
    stamps: dict[int, tuple[int, int]] = field(default_factory=dict)

    def follow(self, stream: StreamModel | None) -> None:
        """As Slot.follow."""
        if stream is None:
            self._leave(self.current)
            self._leave(self.target)
            self.current = self.target = None
            self.resync = False
            return
        if self.target not in (stream, self.current):
            self._leave(self.target)
        self.target = None
        if self.current is stream:
            return
        if self.current is not None and self.current.publisher is not stream.publisher:
            self.follow(None)
        if self not in stream.followers:
            stream.followers.append(self)
        self.target = stream

    def limit(self, spatial: int, temporal: int) -> None:
        """As Slot.limit."""
        self.limits = spatial, temporal
        if self.epochs and not self.layered:
            self.layered = self.limits != (ALL_LAYERS, ALL_LAYERS)
            self.picture_timestamp = (self.last_timestamp - self.epochs[-1].timestamp) & 0xFFFFFFFF
            self.skipped = False

    def _leave(self, stream: StreamModel | None) -> None:
        if stream is not None and self in stream.followers:
            stream.followers.remove(self)

    def forward(
        self, stream: StreamModel, extended: int, packet: RtpPacket, marks: LayerMarks, now_us: int
    ) -> RtpPacket | None:
        """The packet that leaves, with a transport-wide number of 0; None when it does not."""
        kind, clock = stream.kinds[packet.payload_type]
        if stream not in (self.current, self.target) or kind not in self.payload_types:
            return None
        fields = read_fields(kind, packet, self.receive)
        if self.current is not stream or self.resync:
            if self.current is stream and self.target is not None:
                return None
            if not self.audio and not starts_decoder(kind, packet):
                return None
            self._begin(stream, extended, packet, fields, clock, now_us)
        newest = self.epochs[-1]
        if extended < newest.first_source or (self.layered and extended + newest.offset <= self.highest):
            epoch = self._epoch_of(extended)
            if epoch is None:
                return None
            if not epoch.wants(marks):
                packet, fields, marks = hollow(packet), replace(fields, picture=None, layer=None), LayerMarks()
        else:
            if self.layered:
                self._move_layers(extended, packet, marks, key=starts_decoder(kind, packet))
            epoch = self.epochs[-1]
            if not epoch.wants(marks):
                self._leave_out(extended, single=kind is Kind.VP8 and fields.picture is not None)
                return None
        return self._send(epoch, extended, packet, kind, fields, marks, now_us)

    def _epoch_of(self, extended: int) -> Epoch | None:
        for epoch in reversed(self.epochs):
            if epoch.first_source <= extended:
                return epoch
            if not epoch.continues:
                break
        return None

    def _go_on(self, source: int) -> Epoch:
        before = self.epochs[-1]
        if before.first_source != source:
            self.remembered = LAYERED_EPOCHS
            epoch = replace(before, continues=True, first_source=source, first_out=source + before.offset)
            self.epochs = [*self.epochs, epoch][-self.remembered :]
        return self.epochs[-1]

    def _move_layers(self, extended: int, packet: RtpPacket, marks: LayerMarks, *, key: bool) -> None:
        spatial, temporal = self.epochs[-1].spatial, self.epochs[-1].temporal
        if packet.timestamp != self.picture_timestamp:
            self.picture_timestamp, self.skipped = packet.timestamp, False
            spatial, temporal = min(spatial, self.limits[0]), min(temporal, self.limits[1])
        if key:
            spatial = self.limits[0]
        top = min(marks.opens_to, self.limits[1])
        if marks.opens_from <= temporal < top:
            temporal = top
        if spatial < marks.spatial <= self.limits[0] and marks.opens_spatial and not self.skipped:
            spatial = marks.spatial
        if (spatial, temporal) != (self.epochs[-1].spatial, self.epochs[-1].temporal):
            epoch = self._go_on(extended)
            epoch.spatial, epoch.temporal = spatial, temporal
        self.layered = min(spatial, temporal, *self.limits) < ALL_LAYERS

    def _leave_out(self, extended: int, *, single: bool) -> None:
        epoch = self._go_on(extended)
        epoch.first_source += 1
        if single and not self.skipped:
            epoch.picture -= 1
        self.skipped = True

    def _send(
        self,
        epoch: Epoch,
        extended: int,
        packet: RtpPacket,
        kind: Kind,
        fields: Fields,
        marks: LayerMarks,
        now_us: int,
    ) -> RtpPacket:
        out = extended + epoch.offset
        self.stamps[out] = now_us, 0
        result = replace(
            self._rewrite(epoch, packet, fields, marks, now_us),
            ssrc=self.ssrc,
            sequence_number=out & 0xFFFF,
            payload_type=self.payload_types[kind][0],
        )
        if out > self.highest:
            self.highest, self.last_timestamp, self.last_at_us = out, result.timestamp, now_us
            if fields.picture:
                self.last_picture = fields.picture[0] + epoch.picture
            if fields.layer:
                self.last_layer = fields.layer[0] + epoch.layer
            if fields.frame:
                self.last_frame = fields.frame[0] + epoch.frame
        return result

    def _begin(
        self, stream: StreamModel, extended: int, packet: RtpPacket, fields: Fields, clock: int, now_us: int
    ) -> None:
        if not self.epochs:
            epoch = Epoch(stream, extended, 65536 + (packet.sequence_number & 0x7FFF))
            self.highest = epoch.first_out - 1
        else:
            epoch = Epoch(stream, extended, self.highest + 1)
            elapsed = max(1, (now_us - self.last_at_us) * clock // 1_000_000)
            epoch.timestamp = self.last_timestamp + elapsed - packet.timestamp
        if self.last_picture is not None and fields.picture:
            epoch.picture = (self.last_picture + 1 - fields.picture[0]) % 0x10000
        if self.last_layer is not None and fields.layer:
            epoch.layer = (self.last_layer + 1 - fields.layer[0]) % 0x100
        if self.last_frame is not None and fields.frame:
            epoch.frame = (self.last_frame + 1 - fields.frame[0]) % 0x10000
        self.epochs = [*self.epochs, epoch][-self.remembered :]
        self.resync = False
        epoch.spatial, epoch.temporal = self.limits
        self.layered = self.limits != (ALL_LAYERS, ALL_LAYERS)
        self.picture_timestamp, self.skipped = packet.timestamp, False
        if self.current is stream:
            return
        before, self.current = self.current, stream
        if self.target is stream:
            self.target = None
        if before is not self.target:
            self._leave(before)

    def _rewrite(self, epoch: Epoch, packet: RtpPacket, fields: Fields, marks: LayerMarks, now_us: int) -> RtpPacket:
        payload = bytearray(packet.payload)
        if fields.picture and epoch.picture:
            value, offset, wide = fields.picture
            if wide:
                payload[offset : offset + 2] = (0x8000 | value + epoch.picture & 0x7FFF).to_bytes(2, "big")
            else:
                payload[offset] = value + epoch.picture & 0x7F
        if fields.layer:
            payload[fields.layer[1]] = fields.layer[0] + epoch.layer & 0xFF
        return replace(
            packet,
            payload=bytes(payload),
            marker=packet.marker or (marks.ends and marks.spatial == epoch.spatial),
            timestamp=(packet.timestamp + epoch.timestamp) & 0xFFFFFFFF,
            csrcs=(),
            extensions=self._extensions(epoch, packet, fields, now_us),
        )

    def _extensions(
        self, epoch: Epoch, packet: RtpPacket, fields: Fields, now_us: int
    ) -> tuple[tuple[int, bytes], ...]:
        send_time = (now_us << 18) // 1_000_000 & 0xFFFFFF
        ours = {
            Extension.MID: self.mid.encode(),
            Extension.ABS_SEND_TIME: send_time.to_bytes(3, "big"),
            Extension.TRANSPORT_SEQUENCE: bytes(2),
        }
        result = [(self.send[meaning], ours[meaning]) for meaning in OURS if meaning in self.send]
        for index, (identifier, value) in enumerate(packet.extensions):
            meaning = self.receive.get(identifier)
            if meaning is None or meaning in DROPPED or meaning not in self.send:
                continue
            if fields.frame and fields.frame[1] == index:
                value = value[:1] + (fields.frame[0] + epoch.frame & 0xFFFF).to_bytes(2, "big") + value[3:]
            result.append((self.send[meaning], value))
        return tuple(result)

    def _sent_in(self, out: int) -> Epoch | None:
        """None: forgotten, or a picture of before the last switch."""
        for epoch in reversed(self.epochs):
            if epoch.first_out <= out:
                return epoch
            if not (epoch.continues or self.audio):
                return None
        return None

    def retransmit(self, number: int, now_us: int) -> tuple[bool, RtpPacket | None]:
        """(found, what is sent)."""
        out = self.highest + (number - self.highest + 0x8000) % 0x10000 - 0x8000
        epoch = self._sent_in(out)
        if epoch is None or out > self.highest:
            return False, None
        source = out - epoch.offset
        extended, packet, marks = epoch.stream.cache.get(source % CACHE_ENTRIES, (0, None, LayerMarks()))
        if packet is None or extended != source:
            return False, None
        kind, _ = epoch.stream.kinds[packet.payload_type]
        if kind not in self.payload_types:
            return False, None
        payload_type, rtx_payload_type = self.payload_types[kind]
        fields = read_fields(kind, packet, self.receive)
        if not epoch.wants(marks):
            packet, fields, marks = hollow(packet), replace(fields, picture=None, layer=None), LayerMarks()
        repeats = self.rtx_ssrc is None or rtx_payload_type is None
        if repeats and out not in self.stamps:
            return False, None
        if out in self.resent and now_us - self.resent[out] < RESEND_SECONDS * 1e6:
            return True, None
        self.resent[out] = now_us
        if repeats:
            again = self._rewrite(epoch, packet, fields, marks, self.stamps[out][0])
            return True, replace(again, ssrc=self.ssrc, sequence_number=out & 0xFFFF, payload_type=payload_type)
        assert self.rtx_ssrc is not None
        assert rtx_payload_type is not None
        again = self._rewrite(epoch, packet, fields, marks, now_us)
        again = replace(
            again,
            ssrc=self.rtx_ssrc,
            sequence_number=self.rtx_sequence,
            payload_type=rtx_payload_type,
            payload=(out & 0xFFFF).to_bytes(2, "big") + again.payload,
        )
        self.rtx_sequence = (self.rtx_sequence + 1) & 0xFFFF
        return True, again
