"""The compiled forward path: SRTP in, rewritten SRTP out. Policy sets fields on these objects, this code follows.

All methods run on the loop thread. Times are monotonic seconds. Nothing is decoded.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from sfu.codecs import Kind as Kind
from sfu.rtp import Extension as Extension
from wire.udp import Receiver, UdpSocket

Address = tuple[str, int]

MAX_STREAMS: int
MAX_SLOTS: int
MAX_SSRCS: int
MAX_REMOTES: int
MAX_SEATS: int
MAX_PACKET_BYTES: int
DURATION_BOUNDS: tuple[float, ...]
MAX_NACK: int
MAX_WAITING: int
MAX_PRIORITY: int
RESEND_BURST_BYTES: int

class Event(IntEnum):
    """What `Forwarder` reports; the tuple's layout is (event, subject, payload...)."""

    STUN = 0
    """(STUN, socket, data, source, local): the socket is None when it was not attached."""
    DTLS = 1
    """(DTLS, transport or None, data, source, local, socket)"""
    RTCP = 2
    """(RTCP, transport, decrypted compound packet, when the kernel had it)"""
    UNKNOWN_SSRC = 3
    """(UNKNOWN_SSRC, transport, ssrc, payload_type, mid, rid, repaired_rid): authenticated; names are str or None.
    Again every 200 ms while it stays unknown, every 20 ms when the packet names itself."""
    KEYFRAME_NEEDED = 4
    """(KEYFRAME_NEEDED, stream): a slot waits for one; at `follow`, then at most every 250 ms a stream."""
    SWITCHED = 5
    """(SWITCHED, slot, stream): the slot now carries the stream."""
    LOST = 6
    """(LOST, stream, [sequence numbers newly found missing]): each once, at most 256."""
    FEEDBACK = 7
    """(FEEDBACK, transport): `path_report` has something new; see `set_feedback_interval`."""
    WAITING = 8
    """(WAITING,): video has begun to wait for the uplink or a path: call `drain` at `drain_at`."""
    UPLINK_FULL = 9
    """(UPLINK_FULL,): what waits for the uplink needs 100 ms. Again after it was less than half of that."""

class Drop(IntEnum):
    """Why a packet did not go on; `dropped_<name>` in `Forwarder.counters`."""

    UNKNOWN_ADDRESS = 0
    GARBAGE = 1
    NO_KEYS = 2
    AUTHENTICATION = 3
    REPLAY = 4
    MALFORMED = 5
    TOO_LARGE = 6
    SSRC_LIMIT = 7
    UNKNOWN_SSRC = 8
    PAYLOAD_TYPE = 9
    DUPLICATE = 10
    OLD = 11
    PROBE = 12
    INACTIVE = 13
    CODEC = 14
    AWAITING_KEYFRAME = 15
    BEFORE_SWITCH = 16
    NO_PATH = 17
    PROTECT = 18
    EVENT_OVERFLOW = 19
    ARRIVAL_OVERFLOW = 20
    RESEND_BUDGET = 21
    LAYER = 22
    NOT_LOUDEST = 23
    UPLINK = 24
    PATH = 25

class LayerCount(NamedTuple):
    """What came of one layer of a stream since its beginning; the size is that of its spatial layer, 0 unknown."""

    spatial: int
    temporal: int
    bytes: int
    frames: int
    width: int
    height: int

class ProbeReport(NamedTuple):
    """What became of the packets between `begin_probe` and `end_probe`, as far as feedback has come."""

    packets: int
    received: int
    missed: int
    sent_bps: float
    """Of those received: wire bits a second by our clock, 0 unknown."""
    received_bps: float
    """The same by the receiver's clock."""

class PathReport(NamedTuple):
    """What transport-wide feedback said of the path to a receiver; bytes and rates are those on the wire (IPv4)."""

    received: int
    """Packets since the last report."""
    missed: int
    """Packets reported lost since the last report, less those that came late after all: may be negative."""
    acked_bytes: int
    """Received since the last report."""
    sent_bytes: int
    acked_bps: float
    """Received over the last 0.4 s by the receiver's clock; 0 unknown."""
    recent_bps: float
    """Received over the last 0.12 s."""
    sent_bps: float
    """Sent over the last 0.4 s."""
    queue_seconds: float
    """How much longer the quickest packet of the latest feedback took than the quickest of the last 5 to 10 s."""
    rtt_seconds: float
    """Smoothed, from sending a packet to the feedback about it."""
    overusing: bool
    """The delay grows (draft-ietf-rmcat-gcc-02 §5.4), or has jumped."""
    overused: bool
    """It did at some time since the last report."""
    underusing: bool
    """The delay falls: a queue empties."""
    moved: bool
    """Another pair was selected since the last report: delays are measured anew."""
    probe: ProbeReport | None

class Gate:
    """The audio of one room: of the streams that have it as their `gate`, those with a seat go on.

    Level and voice activity are those of RFC 6464; a stream without the extension goes on without a seat. A free seat
    is taken by any packet, a taken one by speech alone, with its first packet: that of who has been silent longest,
    and for 2 s, else that of the quietest who has had it for 2 s and is 10 dB below. The rest is dropped
    (`not_loudest`); when it goes on again its slots have no gap in their sequence numbers, as after silence that was
    not sent.
    """

    limit: int
    """Seats; 0: everybody goes on. ValueError past MAX_SEATS (64)."""
    def __init__(self, limit: int = 0) -> None: ...
    def seated(self) -> list[Stream]:
        """The streams that have a seat, in no order."""

class Forwarder(Receiver):
    """Receives for all SFU sockets, finds each datagram's transport by its 5-tuple, and forwards media."""

    def __init__(
        self, on_events: Callable[[list[tuple[object, ...]]], None], clock: Callable[[], float] | None = None
    ) -> None: ...
    def attach(self, socket: UdpSocket) -> None:
        """Names a socket that has this receiver, so that STUN and DTLS events can say where they came in."""

    def detach(self, socket: UdpSocket) -> None:
        """Forgets a socket."""

    def transport(self, owner: object = None) -> Transport:
        """A new peer connection; it lives until it is closed."""

    def set_uplink(self, bps: int) -> None:
        """The host's budget over all that leaves by these sockets, payload and IP and UDP headers; 0: none.

        No second carries more than 5 % above it. Audio, RTCP, STUN and DTLS never wait, video waits in order of
        `Slot.priority`, 250 ms and MAX_WAITING packets at most; a slot that has waited longer loses all that waits and
        goes on with a keyframe (`Drop.UPLINK`). Repairs beyond what may be borrowed, and padding, are dropped.
        What goes to a client by way of our own relay counts too, for it leaves by the same uplink.
        """

    uplink_wait_us: int
    """How long what waits for the uplink will need to go."""
    drain_at: float
    """When to call `drain`; infinity while nothing waits."""
    def drain(self, now: float) -> None:
        """Sends of what waits what there is room for by now."""

    def durations(self) -> tuple[list[int], float]:
        """Batches by what they took from their arrival to the last copy sent, and their sum in seconds.

        One count for each of DURATION_BOUNDS (inclusive, seconds) and one beyond.
        """

    def counters(self) -> dict[str, int]:
        """`packets_in_audio`, `packets_out_video`, `bytes_…`, `retransmitted`, `padding_packets`, `padding_bytes`,
        `feedbacks`, and one `dropped_<reason>` for each."""

    def feed(self, datagrams: list[tuple[bytes, Address, Address]]) -> None:
        """Handles (data, source, local) as one batch and dispatches its events: for tests and fuzzing."""

class Transport:
    """One peer connection: its validated remote addresses, SRTP contexts, extension ids, streams in and slots out."""

    owner: object
    forwarder: Forwarder
    closed: bool
    def __new__(cls, forwarder: Forwarder, owner: object = None) -> Transport: ...
    def is_taken(self, remote: Address, local: Address) -> bool:
        """Whether another connection holds this pair: it was heard from there within the last 10 s."""

    def add_remote(self, remote: Address, local: Address) -> None:
        """After each authenticated STUN check: datagrams from `remote` to `local` belong here from now on.

        At most MAX_REMOTES (32); past it the one checked longest ago goes, never the selected one.
        """

    def send_check(self, socket: UdpSocket, data: bytes, remote: Address, local: Address) -> None:
        """Sends a STUN message; it counts towards the uplink."""

    def select(self, socket: UdpSocket, remote: Address, local: Address) -> None:
        """Where to send from now on (nominated pair)."""

    def pace(self, bps: int) -> None:
        """What media may take of this path, payload and IP and UDP headers; 0, as at first: as much as there is.

        Audio never waits; video does, in order of `Slot.priority`, for a second at most; a slot that has waited longer
        loses all that waits and goes on with a keyframe. Repairs of video beyond a small debt are dropped. Both are
        counted as `Drop.PATH`. A layer that takes a slot over does not wait behind what is left of the one before.
        Padding is not counted: probes exceed what is believed of the path.
        """

    def selected(self) -> tuple[Address, Address] | None:
        """(remote, local)."""

    def set_keys(self, profile: int, local_key: bytes, remote_key: bytes) -> None:
        """pylibsrtp profile (Policy.SRTP_PROFILE_…) and key||salt of each direction; ValueError if they do not fit."""

    def set_extensions(self, receive: Mapping[int, Extension], send: Mapping[Extension, int]) -> None:
        """Negotiated ids: what the peer sends, and what we send to it (slots use these). A change empties caches."""

    def set_payloads(self, payloads: Mapping[int, tuple[Kind, int, int | None]]) -> None:
        """What the peer sends: payload type -> (kind, clock rate, payload type it repairs when it is RTX else None)."""

    def add_stream(self, ssrc: int, *, audio: bool) -> Stream:
        """A media SSRC the peer sends. ValueError past MAX_STREAMS (64), or when the SSRC is taken."""

    def add_repair(self, ssrc: int, stream: Stream) -> None:
        """The RTX SSRC of `stream`: unwrapped and treated as the stream's own packets."""

    def remove_stream(self, ssrc: int) -> None:
        """Ends a stream with its repairs, or one repair; slots that follow the stream become silent."""

    def add_slot(self, mid: str, ssrc: int, *, rtx_ssrc: int | None, audio: bool, cname: str = "") -> Slot:
        """An outgoing m-line; `cname` goes into its reports.

        ValueError past MAX_SLOTS (512), and for an SSRC used before under the same keys.
        """

    def remove_slot(self, slot: Slot) -> None:
        """Ends a slot; its SSRCs cannot be used again until there are new keys."""

    def send_rtcp(self, compound: bytes) -> None:
        """Protects and sends to the selected pair; dropped and counted before keys and a pair are there."""

    def send_reports(self, now: float) -> tuple[int, int] | None:
        """SR and SDES (RFC 3550 §6.4.1, §6.5) of all slots that have sent and carry a stream, in compounds of at most
        1200 bytes: the middle 32 bits of their NTP time, and of how many slots; None when there was nothing to report.
        """

    def send_raw(self, data: bytes) -> None:
        """Sends to the selected pair as it is (DTLS)."""

    def send_feedback(self, sender_ssrc: int, media_ssrc: int, head: bytes) -> int:
        """Transport-wide feedback (205/15) on what arrived since the last call: gaps included, each number once.

        Each packet goes behind `head`, RTCP that a compound has to begin with. Returns how many packets went.
        """

    def path_report(self) -> PathReport | None:
        """What feedback said since the last call; None when there was none."""

    def set_feedback_interval(self, seconds: float) -> None:
        """At least so long (0.05 s at least) between FEEDBACK events; one comes 0.05 s after the last when over-use
        begins, 0.2 s after it while much is lost. Without a call 0.2 s."""

    def begin_probe(self) -> bool:
        """Measures what is sent from now on by itself; False before there was feedback."""

    def end_probe(self) -> None:
        """The packets sent since `begin_probe` are the probe."""

    def pad(self, wire_bytes: int) -> int:
        """Sends about that much as RTX, of packets just sent or else of padding alone.

        Returns the wire bytes that went out: at most 128 packets a slot, 0 when no slot has RTX.
        """

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    last_received_at: float
    def close(self) -> None:
        """Ends streams and slots, forgets addresses and keys; may be called twice."""

class Stream:
    """One incoming SSRC (a layer of a track): statistics, loss detection, packet cache of originals."""

    transport: Transport
    ssrc: int
    kind: Kind
    """Of the latest packet."""
    packets: int
    bytes: int
    lost: int
    """Cumulative, RFC 3550; what RTX brought counts as lost."""
    fraction_lost: int
    """Of 256, since the last receiver_report()."""
    jitter: int
    """In timestamp units."""
    last_packet_at: float
    last_keyframe_at: float
    last_repair: tuple[int, float] | None
    """(sequence number, arrival) of the latest packet that RTX brought and that was missing."""
    width: int
    """Of the largest layer, as headers tell it (nothing is decoded); 0 unknown."""
    height: int
    active: bool
    """Settable; False (muted): received, not forwarded. After it, slots start over as after a switch."""
    gate: Gate | None
    """Settable, for audio."""
    def receiver_report(self) -> tuple[int, int, int, int]:
        """(fraction_lost, cumulative lost, extended highest sequence number, jitter) of RFC 3550 §6.4.1.

        Starts a new interval.
        """

    def sender_report(self, ntp: int, rtp_timestamp: int, arrived_at: float) -> None:
        """The publisher's latest SR: maps its RTP clock for slots' sender reports."""

    def still_missing(self, sequence_numbers: Sequence[int]) -> list[int]:
        """Those that have not arrived (also not by RTX) and are not too old to be of use: what to ask for again."""

    def layer_counts(self) -> Sequence[LayerCount]:
        """Of each layer that came, lowest first: payload bytes, frames begun. Without layer ids there is (0, 0) alone.

        Layers above 3 count as 3.
        """

    def take_level(self) -> tuple[int, int] | None:
        """(packets, mean level 0..127 dBov below full scale) of RFC 6464 since the last call; None without packets."""

class Slot:
    """One outgoing m-line: stable SSRC; follows one stream at a time."""

    transport: Transport
    ssrc: int
    mid: str
    packets: int
    bytes: int
    """Payload octets."""
    retransmitted: int
    priority: int
    """Settable, 1 at first: who goes first when the uplink is short, 0 (thumbnails) to 3 (speaker, pinned, screen)."""
    def map_payload(self, kind: Kind, payload_type: int, rtx_payload_type: int | None) -> None:
        """Payload type negotiated for a kind. A stream of an unmapped kind is dropped (reason `codec`)."""

    def follow(self, stream: Stream | None) -> None:
        """Switches source or layer. None: silence.

        Video waits for a keyframe of the new stream; the old one goes on until then when both are layers of one
        publication (same `Transport`), else it stops at once.
        """

    def limit(self, spatial: int, temporal: int) -> None:
        """Highest layers forwarded from now on, of any stream that has layers; 7: all. ValueError out of 0..7.

        Down with the next picture. A spatial layer comes with a keyframe (asked for) or where its frame needs no
        earlier picture, a temporal one where later frames need none that was left out. What is left out (reason
        `layer`) makes no gap in sequence numbers and VP8 picture ids; the last packet that goes out of a picture has
        the marker.
        """

    def current(self) -> Stream | None:
        """The stream it carries."""

    def target(self) -> Stream | None:
        """The stream it waits for."""

    def retransmit(self, sequence_numbers: Sequence[int]) -> int:
        """Answers a NACK from the cache (RTX when negotiated, else verbatim); returns how many were found.

        No video of before the last switch, whose keyframe needs none of it. The same packet at most once per 20 ms and
        round trip; at most MAX_NACK numbers a call; all together at most the bytes that the transport's slots sent for
        the first time, 16 KB a second and RESEND_BURST_BYTES (past it: `resend_budget`).
        """
