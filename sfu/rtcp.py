"""RTCP: walks compound packets into values and builds them again. Stateless; what to send and when is the policy's.

RFC 3550 §6 (SR, RR, SDES, BYE), RFC 4585 (NACK, PLI), RFC 5104 (FIR), draft-alvestrand-rmcat-remb-03 (REMB),
draft-holmer-rmcat-transport-wide-cc-extensions-01. Unknown packets (XR, APP, …) are skipped;
RFC 5506 reduced-size compounds are accepted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
FORMAT_NACK, FORMAT_TRANSPORT = 1, 15
FORMAT_PLI, FORMAT_FIR, FORMAT_APPLICATION = 1, 4, 15
CNAME_ITEM = 1
MAX_PACKETS = 64  # in one compound
MAX_STATUSES = 8192  # packets one transport feedback may report on
DELTA_US = 250  # unit of transport-cc receive deltas
REFERENCE_US = 64_000  # unit of its reference time
_NOT_RECEIVED, _SMALL, _LARGE = 0, 1, 2


class RtcpError(ValueError):
    """The bytes are no RTCP compound, or a value does not fit into one."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """RFC 3550 §6.4.1; `lost` is signed 24 bit, `delay` in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest_sequence: int
    jitter: int
    last_sr: int = 0
    delay: int = 0


@dataclass(frozen=True, slots=True)
class SenderReport:
    """`ntp` is the 64-bit NTP timestamp."""

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RFC 3550 §6.4.2."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """(ssrc, CNAME) of each chunk; other items are not kept."""

    names: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Bye:
    """RFC 3550 §6.6; the reason is not kept."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Nack:
    """RFC 4585 §6.2.1; sequence numbers in the order of the message, PID and BLP expanded."""

    sender_ssrc: int
    media_ssrc: int
    sequence_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PictureLoss:
    """PLI, RFC 4585 §6.3.1."""

    sender_ssrc: int
    media_ssrc: int


@dataclass(frozen=True, slots=True)
class FullIntraRequest:
    """FIR, RFC 5104 §4.3.1: (ssrc, command sequence number) of each entry."""

    sender_ssrc: int
    requests: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Remb:
    """Receiver estimated maximum bitrate."""

    sender_ssrc: int
    bitrate_bps: int
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Transport-cc feedback; `reference_time` is signed, in 64 ms.

    `deltas` has one entry a sequence number from `base_sequence` on: the time since the previous received packet in
    250 us units, or None for a packet not received.
    """

    sender_ssrc: int
    media_ssrc: int
    base_sequence: int
    feedback_count: int
    reference_time: int
    deltas: tuple[int | None, ...]

    def arrivals(self) -> list[tuple[int, int | None]]:
        """(16-bit sequence number, arrival in microseconds of the reporter's clock or None) of each packet."""
        clock = self.reference_time * REFERENCE_US
        result: list[tuple[int, int | None]] = []
        for index, delta in enumerate(self.deltas):
            if delta is not None:
                clock += delta * DELTA_US
            result.append(((self.base_sequence + index) & 0xFFFF, None if delta is None else clock))
        return result


RtcpPacket = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Bye
    | Nack
    | PictureLoss
    | FullIntraRequest
    | Remb
    | TransportFeedback
)


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """All packets we know, in order; `RtcpError` on any bytes that are no compound."""
    packets: list[RtcpPacket] = []
    offset = count = 0
    if not data:
        raise RtcpError("empty")
    while offset < len(data):
        count += 1
        if len(data) - offset < 4 or count > MAX_PACKETS:
            raise RtcpError("truncated, or too many packets")
        first, kind, words = struct.unpack_from("!BBH", data, offset)
        end = offset + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise RtcpError("wrong version or length")
        body = data[offset + 4 : end]
        if first & 0x20:
            if not body or not 0 < body[-1] <= len(body):
                raise RtcpError("wrong padding")
            body = body[: -body[-1]]
        packet = _parse_packet(kind, first & 0x1F, body)
        if packet is not None:
            packets.append(packet)
        offset = end
    return packets


def _parse_packet(kind: int, count: int, body: bytes) -> RtcpPacket | None:
    try:
        if kind == SR:
            ssrc, ntp, rtp_timestamp, sent, octets = struct.unpack_from("!IQIII", body)
            return SenderReport(ssrc, ntp, rtp_timestamp, sent, octets, _parse_reports(body, 24, count))
        if kind == RR:
            return ReceiverReport(struct.unpack_from("!I", body)[0], _parse_reports(body, 4, count))
        if kind == SDES:
            return SourceDescription(tuple(_parse_names(body, count)))
        if kind == BYE:
            return Bye(struct.unpack_from(f"!{count}I", body))
        if kind == RTPFB:
            return _parse_transport_layer(count, body)
        if kind == PSFB:
            return _parse_payload_specific(count, body)
    except (struct.error, IndexError):
        raise RtcpError(f"packet of type {kind} is truncated") from None
    return None


def _parse_reports(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    reports = []
    for position in range(offset, offset + 24 * count, 24):
        ssrc, loss, highest, jitter, last_sr, delay = struct.unpack_from("!IIIIII", body, position)
        lost = loss & 0xFFFFFF
        lost -= (lost & 0x800000) << 1
        reports.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last_sr, delay))
    return tuple(reports)


def _parse_names(body: bytes, count: int) -> list[tuple[int, bytes]]:
    names = []
    offset = 0
    for _ in range(count):
        ssrc = struct.unpack_from("!I", body, offset)[0]
        offset += 4
        cname = b""
        while body[offset]:
            item, length = body[offset], body[offset + 1]
            if offset + 2 + length > len(body):
                raise RtcpError("SDES item leaves its packet")
            if item == CNAME_ITEM:
                cname = body[offset + 2 : offset + 2 + length]
            offset += 2 + length
        offset += 4 - offset % 4
        names.append((ssrc, cname))
    return names


def _parse_transport_layer(form: int, body: bytes) -> RtcpPacket | None:
    sender, media = struct.unpack_from("!II", body)
    if form == FORMAT_NACK:
        numbers = []
        for offset in range(8, len(body), 4):
            first, mask = struct.unpack_from("!HH", body, offset)
            numbers.append(first)
            numbers.extend((first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1)
        return Nack(sender, media, tuple(numbers))
    if form == FORMAT_TRANSPORT:
        return _parse_transport_feedback(sender, media, body)
    return None


def _parse_payload_specific(form: int, body: bytes) -> RtcpPacket | None:
    sender, media = struct.unpack_from("!II", body)
    if form == FORMAT_PLI:
        return PictureLoss(sender, media)
    if form == FORMAT_FIR:
        entries = (struct.unpack_from("!IB", body[offset : offset + 8]) for offset in range(8, len(body) - 7, 8))
        return FullIntraRequest(sender, tuple((ssrc, number) for ssrc, number in entries))
    if form == FORMAT_APPLICATION and body[8:12] == b"REMB":
        mantissa = int.from_bytes(body[12:16], "big")
        ssrcs = struct.unpack_from(f"!{body[12]}I", body, 16)
        return Remb(sender, (mantissa & 0x3FFFF) << (mantissa >> 18 & 0x3F), ssrcs)
    return None


def _parse_transport_feedback(sender: int, media: int, body: bytes) -> TransportFeedback:
    base, count, reference = struct.unpack_from("!HHI", body, 8)
    if not 0 < count <= MAX_STATUSES:
        raise RtcpError("transport feedback reports on nothing or on too much")
    symbols: list[int] = []
    offset = 16
    while len(symbols) < count:
        chunk = struct.unpack_from("!H", body, offset)[0]
        offset += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13] * min(chunk & 0x1FFF, count - len(symbols))
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    deltas: list[int | None] = []
    for symbol in symbols[:count]:
        if symbol == _SMALL:
            deltas.append(body[offset])
            offset += 1
        elif symbol == _LARGE:
            deltas.append(struct.unpack_from("!h", body, offset)[0])
            offset += 2
        elif symbol == _NOT_RECEIVED:
            deltas.append(None)
        else:
            raise RtcpError("reserved status symbol")
    time = reference >> 8
    time -= (time & 0x800000) << 1
    return TransportFeedback(sender, media, base, reference & 0xFF, time, tuple(deltas))


def build_compound(packets: Iterable[RtcpPacket]) -> bytes:
    """The bytes of all packets; `RtcpError` when a value does not fit its field."""
    try:
        return b"".join(_build_packet(packet) for packet in packets)
    except (struct.error, OverflowError, ValueError) as error:
        raise RtcpError(str(error)) from None


def _build_packet(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport(ssrc, ntp, rtp_timestamp, sent, octets, reports):
            head = struct.pack("!IQIII", ssrc, ntp, rtp_timestamp, sent & 0xFFFFFFFF, octets & 0xFFFFFFFF)
            return _frame(SR, len(reports), head + _build_reports(reports))
        case ReceiverReport(ssrc, reports):
            return _frame(RR, len(reports), struct.pack("!I", ssrc) + _build_reports(reports))
        case SourceDescription(names):
            return _frame(SDES, len(names), b"".join(_build_name(ssrc, cname) for ssrc, cname in names))
        case Bye(ssrcs):
            return _frame(BYE, len(ssrcs), struct.pack(f"!{len(ssrcs)}I", *ssrcs))
        case Nack(sender, media, numbers):
            return _frame(RTPFB, FORMAT_NACK, struct.pack("!II", sender, media) + _build_nack(numbers))
        case PictureLoss(sender, media):
            return _frame(PSFB, FORMAT_PLI, struct.pack("!II", sender, media))
        case FullIntraRequest(sender, requests):
            entries = b"".join(struct.pack("!IBxxx", ssrc, number) for ssrc, number in requests)
            return _frame(PSFB, FORMAT_FIR, struct.pack("!II", sender, 0) + entries)
        case Remb(sender, bitrate, ssrcs):
            exponent = max(0, bitrate.bit_length() - 18)
            value = len(ssrcs) << 24 | exponent << 18 | bitrate >> exponent
            body = struct.pack(f"!II4sI{len(ssrcs)}I", sender, 0, b"REMB", value, *ssrcs)
            return _frame(PSFB, FORMAT_APPLICATION, body)
        case TransportFeedback():
            return _build_transport_feedback(packet)


def _frame(kind: int, count: int, body: bytes, padding: int = 0) -> bytes:
    if count > 31:
        raise RtcpError("count does not fit")
    return struct.pack("!BBH", 0x80 | (0x20 if padding else 0) | count, kind, len(body) // 4) + body


def _build_reports(reports: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        struct.pack(
            "!IIIIII",
            report.ssrc,
            report.fraction_lost << 24 | max(-0x800000, min(report.lost, 0x7FFFFF)) & 0xFFFFFF,
            report.highest_sequence,
            report.jitter,
            report.last_sr,
            report.delay,
        )
        for report in reports
    )


def _build_name(ssrc: int, cname: bytes) -> bytes:
    chunk = struct.pack("!IBB", ssrc, CNAME_ITEM, len(cname)) + cname
    return chunk + bytes(4 - len(chunk) % 4)


def _build_nack(numbers: Sequence[int]) -> bytes:
    """PID and BLP fields; numbers ascending modulo 2**16 pack best."""
    fields = bytearray()
    index = 0
    while index < len(numbers):
        first, mask = numbers[index], 0
        index += 1
        while index < len(numbers) and 1 <= (distance := (numbers[index] - first) & 0xFFFF) <= 16:
            mask |= 1 << distance - 1
            index += 1
        fields += struct.pack("!HH", first, mask)
    return bytes(fields)


def _symbol(delta: int | None) -> int:
    if delta is None:
        return _NOT_RECEIVED
    return _SMALL if 0 <= delta <= 255 else _LARGE


def _build_chunks(symbols: Sequence[int]) -> bytes:
    """Packet status chunks, draft-holmer §3.1.3-3.1.4: runs where they pay, else one-bit, else two-bit vectors."""
    chunks = bytearray()
    index = 0
    while index < len(symbols):
        run = 1
        while run < 0x1FFF and index + run < len(symbols) and symbols[index + run] == symbols[index]:
            run += 1
        wide = symbols[index : index + 14]
        if run >= 14 or run == len(symbols) - index or (run >= 7 and _LARGE in wide):
            chunk, used = symbols[index] << 13 | run, run
        elif _LARGE not in wide:
            chunk, used = 0x8000 | sum(symbol << 13 - place for place, symbol in enumerate(wide)), 14
        else:
            narrow = wide[:7]
            chunk, used = 0xC000 | sum(symbol << 12 - 2 * place for place, symbol in enumerate(narrow)), 7
        chunks += struct.pack("!H", chunk)
        index += used
    return bytes(chunks)


def _build_transport_feedback(packet: TransportFeedback) -> bytes:
    if not 0 < len(packet.deltas) <= MAX_STATUSES:
        raise RtcpError("transport feedback reports on nothing or on too much")
    symbols = [_symbol(delta) for delta in packet.deltas]
    reference = (packet.reference_time & 0xFFFFFF) << 8 | packet.feedback_count & 0xFF
    head = struct.pack("!IIHHI", packet.sender_ssrc, packet.media_ssrc, packet.base_sequence, len(symbols), reference)
    deltas = b"".join(
        delta.to_bytes(1, "big") if 0 <= delta <= 255 else struct.pack("!h", delta)
        for delta in packet.deltas
        if delta is not None
    )
    body = head + _build_chunks(symbols) + deltas
    padding = -len(body) % 4
    if padding:
        body += bytes(padding - 1) + bytes((padding,))
    return _frame(RTPFB, FORMAT_TRANSPORT, body, padding)
