"""A data path without packets: the face of sfu.forward as far as policy uses it, its counts set by the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfu import rtcp
from sfu.codecs import Kind
from sfu.forward import LayerCount
from tests.sfu.transport_feedback import transport_feedback


class StreamDouble:
    def __init__(self, ssrc: int, audio: bool) -> None:
        self.ssrc = ssrc
        self.audio = audio
        self.active = True
        self.gate: object = None
        self.kind = Kind.VP8
        self.lost = self.packets = self.bytes = 0
        self.last_packet_at = 0.0
        self.last_keyframe_at = 0.0
        self.last_repair: tuple[int, float] | None = None
        self.width = self.height = 0
        self.counts: list[LayerCount] = []
        self.missing: set[int] = set()
        self.level: tuple[int, int] | None = None
        self.reports: list[tuple[int, int, float]] = []

    def receiver_report(self) -> tuple[int, int, int, int]:
        return (1, 2, 3, 4)

    def sender_report(self, ntp: int, rtp_timestamp: int, arrived_at: float) -> None:
        self.reports.append((ntp, rtp_timestamp, arrived_at))

    def still_missing(self, sequence_numbers: Sequence[int]) -> list[int]:
        return [number for number in sequence_numbers if number in self.missing]

    def layer_counts(self) -> list[LayerCount]:
        return self.counts or [LayerCount(0, 0, self.bytes, 0, self.width, self.height)]

    def take_level(self) -> tuple[int, int] | None:
        level, self.level = self.level, None
        return level


class SlotDouble:
    """Goes over to what it is to follow at once, or when the test says so if it `lags`."""

    def __init__(self, mid: str, ssrc: int) -> None:
        self.mid = mid
        self.ssrc = ssrc
        self.payloads: dict[Any, tuple[int, int | None]] = {}
        self.stream: StreamDouble | None = None
        self.awaited: StreamDouble | None = None
        self.lags = False
        self.limits = (7, 7)
        self.priority = 1
        self.retransmitted: list[int] = []

    def map_payload(self, kind: Any, payload_type: int, rtx: int | None) -> None:
        self.payloads[kind] = (payload_type, rtx)

    def follow(self, stream: StreamDouble | None) -> None:
        if self.lags and stream is not None:
            self.awaited = stream
        else:
            self.stream, self.awaited = stream, None

    def arrive(self) -> None:
        self.stream, self.awaited = self.awaited, None

    def limit(self, spatial: int, temporal: int) -> None:
        self.limits = (spatial, temporal)

    def current(self) -> StreamDouble | None:
        return self.stream

    def target(self) -> StreamDouble | None:
        return self.awaited

    def retransmit(self, sequence_numbers: Sequence[int]) -> int:
        self.retransmitted += sequence_numbers
        return len(sequence_numbers)


class PathDouble:
    def __init__(self) -> None:
        self.owner: object = None
        self.streams: dict[int, StreamDouble] = {}
        self.repairs: dict[int, StreamDouble] = {}
        self.slots: list[SlotDouble] = []
        self.payloads: Mapping[int, Any] = {}
        self.receive: Mapping[int, Any] = {}
        self.send: Mapping[Any, int] = {}
        self.sent_rtcp: list[rtcp.RtcpPacket] = []
        self.compounds: list[list[rtcp.RtcpPacket]] = []
        self.sent: list[bytes] = []
        self.remotes: list[Any] = []
        self.taken: set[Any] = set()
        self.pair: Any = None
        self.keys: Any = None
        self.arrivals: list[tuple[int, int]] = []
        self.feedback_count = 0
        self.next_number: int | None = None
        self.packets_out = self.bytes_out = 0
        self.last_received_at = 0.0
        self.reported_at: list[float] = []
        self.report: tuple[int, int] | None = None
        self.paced_bps = 0
        self.closed = False

    def set_payloads(self, payloads: Mapping[int, Any]) -> None:
        self.payloads = payloads

    def set_extensions(self, receive: Mapping[int, Any], send: Mapping[Any, int]) -> None:
        self.receive, self.send = receive, send

    def add_stream(self, ssrc: int, *, audio: bool) -> StreamDouble:
        if len(self.streams) >= 64:
            raise ValueError("too many")
        self.streams[ssrc] = StreamDouble(ssrc, audio)
        return self.streams[ssrc]

    def add_repair(self, ssrc: int, stream: StreamDouble) -> None:
        self.repairs[ssrc] = stream

    def remove_stream(self, ssrc: int) -> None:
        del self.streams[ssrc]

    def add_slot(self, mid: str, ssrc: int, *, rtx_ssrc: int | None, audio: bool, cname: str) -> SlotDouble:
        self.slots.append(SlotDouble(mid, ssrc))
        return self.slots[-1]

    def remove_slot(self, slot: SlotDouble) -> None:
        self.slots.remove(slot)

    def is_taken(self, remote: Any, local: Any) -> bool:
        return remote in self.taken

    def send_check(self, socket: Any, data: bytes, remote: Any, local: Any) -> None:
        socket.send(data, remote, local)

    def add_remote(self, remote: Any, local: Any) -> None:
        self.remotes.append((remote, local))

    def select(self, socket: Any, remote: Any, local: Any) -> None:
        self.pair = (remote, local)

    def pace(self, bps: int) -> None:
        self.paced_bps = bps

    def selected(self) -> Any:
        return self.pair

    def set_keys(self, profile: int, local_key: bytes, remote_key: bytes) -> None:
        self.keys = (profile, local_key, remote_key)

    def send_raw(self, data: bytes) -> None:
        self.sent.append(data)

    def send_rtcp(self, compound: bytes) -> None:
        self.compounds.append(rtcp.parse_compound(compound))
        self.sent_rtcp += self.compounds[-1]

    def send_reports(self, now: float) -> tuple[int, int] | None:
        self.reported_at.append(now)
        return self.report

    def send_feedback(self, sender_ssrc: int, media_ssrc: int, head: bytes) -> int:
        packets = transport_feedback(
            self.arrivals,
            sender_ssrc=sender_ssrc,
            media_ssrc=media_ssrc,
            feedback_count=self.feedback_count,
            first=self.next_number,
        )
        if self.arrivals:
            self.next_number = self.arrivals[-1][0] + 1
        self.arrivals = []
        self.feedback_count += len(packets)
        for packet in packets:
            self.send_rtcp(head + rtcp.build_compound([packet]))
        return len(packets)

    def path_report(self) -> None:
        """No feedback ever comes."""

    def close(self) -> None:
        self.closed = True
