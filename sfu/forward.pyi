"""The compiled forward path: SRTP in, rewritten SRTP out. Policy sets fields on these objects; this code only follows them.

All methods run on the loop thread. Times are monotonic seconds. Nothing is decoded.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from wire.udp import Receiver, UdpSocket

Address = tuple[str, int]

class Kind(IntEnum):
    """Payload formats whose headers the path understands; OPAQUE is forwarded without looking inside."""

    OPAQUE = 0
    OPUS = 1
    VP8 = 2
    VP9 = 3
    AV1 = 4
    H264 = 5

class Extension(IntEnum):
    """Header extensions by meaning; ids are per peer connection."""

    MID = 1
    RID = 2
    REPAIRED_RID = 3
    AUDIO_LEVEL = 4
    ABS_SEND_TIME = 5
    TRANSPORT_SEQUENCE = 6
    TRANSMISSION_OFFSET = 7
    VIDEO_ORIENTATION = 8
    PLAYOUT_DELAY = 9
    CONTENT_TYPE = 10
    VIDEO_TIMING = 11
    COLOR_SPACE = 12
    DEPENDENCY_DESCRIPTOR = 13
    VIDEO_LAYERS_ALLOCATION = 14

class Event(IntEnum):
    """What `Forwarder` reports; the tuple's layout is (event, subject, payload...)."""

    STUN = 0               # (STUN, socket, data, source, local)
    DTLS = 1               # (DTLS, transport or None, data, source, local, socket)
    RTCP = 2               # (RTCP, transport, decrypted compound packet)
    UNKNOWN_SSRC = 3       # (UNKNOWN_SSRC, transport, ssrc, payload_type, mid, rid, repaired_rid): authenticated; str or None
    KEYFRAME_NEEDED = 4    # (KEYFRAME_NEEDED, stream): a slot waits for one; repeated at most every 250 ms per stream while it waits
    SWITCHED = 5           # (SWITCHED, slot, stream): the slot now carries the stream
    LOST = 6               # (LOST, stream, [sequence numbers newly found missing])

class ArrivalRun(NamedTuple):
    """Arrivals since the last call, for transport-cc: (transport-wide sequence number, arrival in microseconds) ascending."""

    arrivals: Sequence[tuple[int, int]]

class Forwarder(Receiver):
    """Receives for all SFU sockets, finds each datagram's transport by its 5-tuple, and forwards media."""

    def __init__(self, on_events: Callable[[list[tuple[object, ...]]], None], clock: Callable[[], float] | None = None) -> None: ...
    def transport(self, owner: object = None) -> Transport: ...
    def counters(self) -> dict[str, int]: ...
    """`packets_in_audio`, `packets_out_video`, `bytes_…`, `retransmitted`, and one `dropped_<reason>` for each reason."""

class Transport:
    """One peer connection: its validated remote addresses, SRTP contexts, header-extension ids, streams in and slots out."""

    owner: object
    def add_remote(self, remote: Address, local: Address) -> None:
        """Datagrams from `remote` to `local` belong here from now on (after an authenticated STUN check). At most 32; oldest goes."""
    def select(self, socket: UdpSocket, remote: Address, local: Address) -> None:
        """Where to send from now on (nominated pair)."""
    def selected(self) -> tuple[Address, Address] | None: ...
    def set_keys(self, profile: int, local_key: bytes, remote_key: bytes) -> None:
        """pylibsrtp profile number (Policy.SRTP_PROFILE_…) and key||salt of each direction."""
    def set_extensions(self, receive: Mapping[int, Extension], send: Mapping[Extension, int]) -> None:
        """Negotiated ids: what the peer sends, and what we send to it (slots use these)."""
    def set_payloads(self, payloads: Mapping[int, tuple[Kind, int, int | None]]) -> None:
        """payload type -> (kind, clock rate, payload type it repairs when it is RTX else None), for what the peer sends."""
    def add_stream(self, ssrc: int, *, audio: bool) -> Stream:
        """A media SSRC the peer sends. Raises ValueError past MAX_STREAMS (64)."""
    def add_repair(self, ssrc: int, stream: Stream) -> None:
        """The RTX SSRC of `stream`: unwrapped and treated as the stream's own packets."""
    def remove_stream(self, ssrc: int) -> None: ...
    def add_slot(self, mid: str, ssrc: int, *, rtx_ssrc: int | None, audio: bool) -> Slot: ...
    def remove_slot(self, slot: Slot) -> None: ...
    def send_rtcp(self, compound: bytes) -> None:
        """Protects and sends to the selected pair; dropped and counted before keys and a pair are there."""
    def send_raw(self, data: bytes) -> None: ...
    def take_arrivals(self) -> ArrivalRun: ...
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    last_received_at: float
    def close(self) -> None: ...

class Stream:
    """One incoming SSRC (a layer of a track): statistics, loss detection, packet cache of originals."""

    ssrc: int
    kind: Kind                 # of the latest packet
    packets: int
    bytes: int
    lost: int                  # cumulative, RFC 3550
    fraction_lost: int         # since the last receiver_report()
    jitter: int                # timestamp units
    last_packet_at: float
    last_keyframe_at: float
    width: int                 # of the last VP8 keyframe seen, 0 unknown (a header field, nothing is decoded)
    height: int
    def receiver_report(self) -> tuple[int, int, int, int]:
        """(fraction_lost, cumulative lost, extended highest sequence number, jitter) of RFC 3550 §6.4.1; starts a new interval."""
    def sender_report(self, ntp: int, rtp_timestamp: int, arrived_at: float) -> None:
        """The publisher's latest SR: maps its RTP clock for slots' sender reports."""
    def take_level(self) -> tuple[int, int] | None:
        """(packets, mean level 0..127 dBov below full scale) of RFC 6464 since the last call; None without packets."""
    active: bool               # settable; False (muted): received, not forwarded

class Slot:
    """One outgoing m-line: stable SSRC; follows one stream at a time."""

    ssrc: int
    mid: str
    def map_payload(self, kind: Kind, payload_type: int, rtx_payload_type: int | None) -> None:
        """Payload type this subscriber negotiated for a kind. A stream of an unmapped kind is dropped (reason `codec`)."""
    def follow(self, stream: Stream | None) -> None:
        """Switches source or layer; video waits for a keyframe of the new stream, the old one goes on until then when both are layers
        of one publication (same `Transport`), else stops at once. None: silence."""
    def current(self) -> Stream | None: ...
    def target(self) -> Stream | None: ...
    def retransmit(self, sequence_numbers: Sequence[int]) -> int:
        """Answers a NACK from the cache (RTX when negotiated, else verbatim); returns how many were found. The same packet at most
        once per 20 ms."""
    def sender_report(self, now: float) -> tuple[int, int, int, int] | None:
        """(ntp, rtp timestamp, packets, octets) for RFC 3550 §6.4.1 mapped to the slot's timeline; None before the first packet."""
    packets: int
    bytes: int
    retransmitted: int
