"""The compiled forward path: SRTP in, rewritten SRTP out. Policy sets fields on these objects, this code follows.

RFC 3550, 3711 (libsrtp through pylibsrtp's own binding), 4588, 7714, 8285. State is declared in forward_state.pxi and
found by forward_tables.pxi, the way in is in forward_in.pxi, the way out in forward_out.pxi and forward_protect.pxi,
what is learnt of a receiver's path in forward_feedback.pxi (and _delay, _padding), the Python faces that own the state
here and in forward_transport.pxi and forward_media.pxi. All of it runs on the loop thread; nogil code touches
no Python object.

Memory: a transport 4 KB (and 5 KB for each of its two SRTP sessions, 0.4 KB an SSRC, up to 64 KB of arrivals until they
are taken), an idle slot 1 KB, 8 KB more once it answers NACKs, 6 KB once layers are left
out, 4 KB where it has no RTX; a followed video stream keeps up to 0.5 MB of packets, an audio stream 18 KB. A receiver
that sends transport-wide feedback 5 KB, up to 50 KB at 2000 packets a second.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uintptr_t

import ctypes
import os
import time
from enum import IntEnum
from typing import NamedTuple

import pylibsrtp
from pylibsrtp import Policy, Session, _binding
from pylibsrtp._binding import ffi

from sfu.codecs import Kind
from sfu.rtp import Extension
from sfu.srtp import rtp_keys


cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t value)


include "forward_state.pxi"
include "forward_tables.pxi"
include "dependency.pxi"
include "h264.pxi"

cdef srtp_fn srtp_protect
cdef srtp_fn srtp_unprotect
cdef srtp_fn srtp_protect_rtcp
cdef srtp_fn srtp_unprotect_rtcp
cdef srtp_remove_fn srtp_remove_stream


cdef object library = ctypes.CDLL(_binding.__file__)   # libsrtp, and the OpenSSL that is linked with it


cdef uintptr_t library_function(str name) except 0:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value


srtp_protect = <srtp_fn>library_function("srtp_protect")
srtp_unprotect = <srtp_fn>library_function("srtp_unprotect")
srtp_protect_rtcp = <srtp_fn>library_function("srtp_protect_rtcp")
srtp_unprotect_rtcp = <srtp_fn>library_function("srtp_unprotect_rtcp")
srtp_remove_stream = <srtp_remove_fn>library_function("srtp_remove_stream")

cdef uint64_t read_clock(forwarder_t *f) noexcept nogil:
    if f.own_clock:
        with gil:
            return <uint64_t>((<Forwarder>f.object)._clock() * 1e6 + 0.5)
    return monotonic_us()


include "forward_protect.pxi"
include "forward_out.pxi"
include "forward_pacer.pxi"
include "forward_reports.pxi"
include "forward_arrivals.pxi"
include "forward_layers.pxi"
include "forward_in.pxi"
include "forward_gate.pxi"
include "forward_feedback.pxi"
include "forward_delay.pxi"
include "forward_padding.pxi"

if (
    [Kind.OPAQUE, Kind.OPUS, Kind.VP8, Kind.VP9, Kind.AV1, Kind.H264]
    != [KIND_OPAQUE, KIND_OPUS, KIND_VP8, KIND_VP9, KIND_AV1, KIND_H264]
    or [Extension.MID, Extension.RID, Extension.REPAIRED_RID, Extension.AUDIO_LEVEL, Extension.ABS_SEND_TIME,
        Extension.TRANSPORT_SEQUENCE, Extension.DEPENDENCY_DESCRIPTOR, max(Extension)]
    != [EXT_MID, EXT_RID, EXT_REPAIRED_RID, EXT_AUDIO_LEVEL, EXT_ABS_SEND_TIME,
        EXT_TRANSPORT_SEQUENCE, EXT_DEPENDENCY_DESCRIPTOR, EXT_LAST]
):
    raise ImportError("sfu.packet, sfu.rtp and sfu.codecs number kinds or extensions differently")

MAX_STREAMS = C_MAX_STREAMS
MAX_SLOTS = C_MAX_SLOTS
MAX_SSRCS = C_MAX_SSRCS
MAX_REMOTES = C_MAX_REMOTES
MAX_SEATS = C_MAX_SEATS
MAX_PACKET_BYTES = MAX_RTP_BYTES
MAX_WAITING = C_MAX_WAITING
MAX_PRIORITY = PACER_LINES - 1
RESEND_BURST_BYTES = C_RESEND_BURST
DURATION_BOUNDS = tuple(SHORTEST_US * 2**i / 1e6 for i in range(DURATIONS - 1))     # seconds
MAX_NACK = 1024                     # sequence numbers of one `retransmit` that are looked at
NTP_EPOCH = 2208988800              # 1970 in NTP seconds
cdef uint64_t ntp_offset_us = int((time.time() - time.monotonic() + NTP_EPOCH) * 1e6)


class Event(IntEnum):
    """What `Forwarder` reports; see forward.pyi for the tuples."""

    STUN = EVENT_STUN
    DTLS = EVENT_DTLS
    RTCP = EVENT_RTCP
    UNKNOWN_SSRC = EVENT_UNKNOWN_SSRC
    KEYFRAME_NEEDED = EVENT_KEYFRAME_NEEDED
    SWITCHED = EVENT_SWITCHED
    LOST = EVENT_LOST
    FEEDBACK = EVENT_FEEDBACK
    WAITING = EVENT_WAITING
    UPLINK_FULL = EVENT_UPLINK_FULL


class Drop(IntEnum):
    """Why a packet did not go on; `dropped_<name>` in `Forwarder.counters`."""

    UNKNOWN_ADDRESS = DROP_UNKNOWN_ADDRESS
    GARBAGE = DROP_GARBAGE
    NO_KEYS = DROP_NO_KEYS
    AUTHENTICATION = DROP_AUTHENTICATION
    REPLAY = DROP_REPLAY
    MALFORMED = DROP_MALFORMED
    TOO_LARGE = DROP_TOO_LARGE
    SSRC_LIMIT = DROP_SSRC_LIMIT
    UNKNOWN_SSRC = DROP_UNKNOWN_SSRC
    PAYLOAD_TYPE = DROP_PAYLOAD_TYPE
    DUPLICATE = DROP_DUPLICATE
    OLD = DROP_OLD
    PROBE = DROP_PROBE
    INACTIVE = DROP_INACTIVE
    CODEC = DROP_CODEC
    AWAITING_KEYFRAME = DROP_AWAITING_KEYFRAME
    BEFORE_SWITCH = DROP_BEFORE_SWITCH
    NO_PATH = DROP_NO_PATH
    PROTECT = DROP_PROTECT
    EVENT_OVERFLOW = DROP_EVENT_OVERFLOW
    ARRIVAL_OVERFLOW = DROP_ARRIVAL_OVERFLOW
    RESEND_BUDGET = DROP_RESEND_BUDGET
    LAYER = DROP_LAYER
    NOT_LOUDEST = DROP_NOT_LOUDEST
    UPLINK = DROP_UPLINK
    PATH = DROP_PATH


_DROP_KEYS = [(int(reason), f"dropped_{reason.name.lower()}") for reason in Drop]


class LayerCount(NamedTuple):
    """What came of one layer of a stream since its beginning; the size is that of its spatial layer, 0 unknown."""

    spatial: int
    temporal: int
    bytes: int
    frames: int
    width: int
    height: int


class ProbeReport(NamedTuple):
    """What became of the packets between `begin_probe` and `end_probe`; see forward.pyi."""

    packets: int
    received: int
    missed: int
    sent_bps: float
    received_bps: float


class PathReport(NamedTuple):
    """What feedback said of the path to a receiver; see forward.pyi."""

    received: int
    missed: int
    acked_bytes: int
    sent_bytes: int
    acked_bps: float
    recent_bps: float
    sent_bps: float
    queue_seconds: float
    rtt_seconds: float
    overusing: bool
    overused: bool
    underusing: bool
    moved: bool
    probe: object


cdef uint64_t to_us(double seconds) noexcept nogil:
    return <uint64_t>(seconds * 1e6 + 0.5) if seconds > 0 else 0


cdef object text_or_none(const char *name):
    cdef bytes value = name
    return value.decode("ascii", "replace") if value else None


cdef class Forwarder(Receiver):
    """Receives for all SFU sockets, finds each datagram's transport by its 5-tuple, and forwards media."""

    cdef forwarder_t *f
    cdef object _on_events
    cdef object _clock
    cdef dict _sockets
    cdef set _transports

    def __cinit__(self):
        self.f = <forwarder_t *>calloc(1, sizeof(forwarder_t))
        if self.f == NULL:
            raise MemoryError
        self.f.object = <void *>self
        self.f.seed = int.from_bytes(os.urandom(8), "little")
        self.receive = receive_datagrams
        self.timed = True
        self.context = <void *>self.f

    def __init__(self, on_events, clock=None):
        self._on_events = on_events
        self._clock = clock
        self.f.own_clock = clock is not None
        self._sockets = {}
        self._transports = set()

    def __dealloc__(self):
        if self.f != NULL:
            free(self.f.routes)
            free(self.f.nodes)
            free(self.f)

    def attach(self, UdpSocket socket not None):
        """Names a socket that has this receiver, so that STUN and DTLS events can say where they came in."""
        self._sockets[socket.local_address] = socket

    def detach(self, UdpSocket socket not None):
        """Forgets a socket."""
        self._sockets = {address: other for address, other in self._sockets.items() if other is not socket}

    def transport(self, owner=None):
        """A new peer connection."""
        t = Transport(self, owner)
        self._transports.add(t)
        return t

    def set_uplink(self, int64_t bps):
        """The host's budget over all that leaves, headers counted; see forward.pyi."""
        if bps < 0:
            raise ValueError("a budget is not negative")
        self.f.now_us = read_clock(self.f)
        set_pace(self.f, &self.f.uplink, bps)

    @property
    def uplink_wait_us(self):
        return wait_us(&self.f.uplink)

    @property
    def drain_at(self):
        return (self.f.drained_us + DRAIN_US) / 1e6 if self.f.waiting else float("inf")

    def drain(self, double now):
        """Sends of what waits what there is room for by now."""
        self.f.now_us = max(self.f.now_us, to_us(now))
        with nogil:
            drain(self.f)
            udp_flush()

    def counters(self):
        """All counters since the start."""
        cdef forwarder_t *f = self.f
        cdef int video
        cdef str kind
        result = {}
        for video, kind in enumerate(("audio", "video")):
            result[f"packets_in_{kind}"] = f.packets_in[video]
            result[f"packets_out_{kind}"] = f.packets_out[video]
            result[f"bytes_in_{kind}"] = f.bytes_in[video]
            result[f"bytes_out_{kind}"] = f.bytes_out[video]
        result["retransmitted"] = f.retransmitted
        result["padding_packets"] = f.padding_packets
        result["padding_bytes"] = f.padding_bytes
        result["feedbacks"] = f.feedbacks
        for reason, key in _DROP_KEYS:
            result[key] = f.drops[<int>reason]
        return result

    def durations(self):
        """([count of each bucket], sum in seconds) of batches, from arrival to the last copy; see DURATION_BOUNDS."""
        return [self.f.durations[i] for i in range(DURATIONS)], self.f.durations_us / 1e6

    def feed(self, list datagrams not None):
        """Handles [(data, source, local), ...] as one batch and dispatches its events: for tests and fuzzing."""
        cdef int count = len(datagrams), i
        cdef packet_t *packets = <packet_t *>calloc(max(1, count), sizeof(packet_t))
        cdef list copies = [bytearray(data) + bytearray(64) for data, _, _ in datagrams]
        if packets == NULL:
            raise MemoryError
        try:
            for i in range(count):
                packets[i].data = <uint8_t *><char *><bytearray>copies[i]
                packets[i].length = len(datagrams[i][0])
                packets[i].arrived_us = monotonic_us()
                endpoint_from_python(datagrams[i][1], &packets[i].source)
                endpoint_from_python(datagrams[i][2], &packets[i].local)
            with nogil:
                receive_datagrams(self.f, packets, count)
                udp_flush()
        finally:
            free(packets)
        self.dispatch()

    cdef void unlink_stream(self, stream_t *s) noexcept:
        """Makes every slot that ever carried `s` forget it."""
        cdef slot_t *slot
        cdef int i
        for transport in self._transports:
            for other in (<Transport>transport)._slots:
                slot = (<Slot>other).s
                shed(self.f, slot)
                for i in range(slot.epoch_room):
                    if slot.epochs[i].stream == s:
                        slot.epochs[i].stream = NULL
                if slot.current == s:
                    slot.current = NULL
                if slot.target == s:
                    slot.target = NULL
        s.follower_count = 0
        unseat(s)
        s.transport = NULL
        drop_cache(s)
        forget_events(self.f, s)

    cdef object find(self, object source, object local):
        cdef endpoint_t remote_endpoint, local_endpoint
        cdef transport_t *t
        endpoint_from_python(source, &remote_endpoint)
        endpoint_from_python(local, &local_endpoint)
        t = find_route(self.f, &remote_endpoint, &local_endpoint)
        return <object>t.object if t != NULL else None

    cdef object socket_at(self, tuple local):
        socket = self._sockets.get(local)
        if socket is None:
            socket = self._sockets.get(("::" if ":" in local[0] else "0.0.0.0", local[1]))
        return socket

    cdef object dispatch(self):
        cdef list events = []
        cdef int i
        for tag, data, source, local, arrived_at in self.take():
            if tag == EVENT_STUN:
                events.append((Event.STUN, self.socket_at(local), data, source, local))
            elif tag == EVENT_DTLS:
                events.append((Event.DTLS, self.find(source, local), data, source, local, self.socket_at(local)))
            else:
                t = self.find(source, local)
                if t is not None:
                    events.append((Event.RTCP, t, data, arrived_at))
        for i in range(self.f.event_count):
            event = event_to_python(&self.f.events[i])
            if event is not None:
                events.append(event)
        self.f.event_count = 0
        if events:
            self._on_events(events)


cdef object event_to_python(event_t *e):
    cdef int i
    if e.event == EVENT_NONE:
        return None
    if e.event == EVENT_UNKNOWN_SSRC:
        return (
            Event.UNKNOWN_SSRC, <object>(<transport_t *>e.subject).object, e.ssrc, e.payload_type,
            text_or_none(e.mid), text_or_none(e.rid), text_or_none(e.repaired_rid),
        )
    if e.event == EVENT_KEYFRAME_NEEDED:
        return Event.KEYFRAME_NEEDED, <object>(<stream_t *>e.subject).object
    if e.event == EVENT_WAITING or e.event == EVENT_UPLINK_FULL:
        return (Event(e.event),)
    if e.event == EVENT_FEEDBACK:
        return Event.FEEDBACK, <object>(<transport_t *>e.subject).object
    if e.event == EVENT_SWITCHED:
        return Event.SWITCHED, <object>(<slot_t *>e.subject).object, <object>e.stream.object
    missing = [(e.first + i) & 0xFFFF for i in range(64 * LOSS_WORDS) if e.missing[i >> 6] >> (i & 63) & 1]
    return Event.LOST, <object>(<stream_t *>e.subject).object, missing


include "forward_transport.pxi"
include "forward_media.pxi"
