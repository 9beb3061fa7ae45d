"""The compiled forward path: SRTP in, rewritten SRTP out. Policy sets fields on these objects; this code only follows them.

RFC 3550, 3711 (libsrtp through pylibsrtp's own binding), 4588, 7714, 8285. Here are the Python faces; the state they own is
in forward_state.pxi, the way in in forward_in.pxi, the way out in forward_out.pxi. All of it runs on the loop thread; what
is marked nogil touches no Python object.

Memory: a transport 6 KB (and 5 KB for each of its two SRTP sessions, 0.4 KB an SSRC), an idle slot 1 KB, 7 KB more once
it answers NACKs or has no RTX; a followed video stream keeps up to 0.5 MB of packets, an audio stream 17 KB.
"""

from libc.stdint cimport int32_t, uint32_t, uintptr_t

import os
import time
from enum import IntEnum
from typing import NamedTuple

import pylibsrtp
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

from sfu.codecs import Kind
from sfu.rtp import Extension


cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t value)


include "forward_state.pxi"

cdef srtp_fn srtp_protect
cdef srtp_fn srtp_unprotect
cdef srtp_fn srtp_protect_rtcp
cdef srtp_fn srtp_unprotect_rtcp
cdef srtp_remove_fn srtp_remove_stream


cdef uintptr_t library_function(str name) except 0:
    return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))


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


include "forward_out.pxi"
include "forward_in.pxi"

MAX_STREAMS = C_MAX_STREAMS
MAX_SLOTS = C_MAX_SLOTS
MAX_SSRCS = C_MAX_SSRCS
MAX_REMOTES = C_MAX_REMOTES
MAX_PACKET_BYTES = MAX_RTP_BYTES
MAX_NACK = 1024                     # sequence numbers of one `retransmit` that are looked at
NTP_EPOCH = 2208988800              # 1970 in NTP seconds
_NTP_OFFSET_US = int((time.time() - time.monotonic() + NTP_EPOCH) * 1e6)


class Event(IntEnum):
    """What `Forwarder` reports; see forward.pyi for the tuples."""

    STUN = EVENT_STUN
    DTLS = EVENT_DTLS
    RTCP = EVENT_RTCP
    UNKNOWN_SSRC = EVENT_UNKNOWN_SSRC
    KEYFRAME_NEEDED = EVENT_KEYFRAME_NEEDED
    SWITCHED = EVENT_SWITCHED
    LOST = EVENT_LOST


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


_DROP_KEYS = [(int(reason), f"dropped_{reason.name.lower()}") for reason in Drop]


class ArrivalRun(NamedTuple):
    """Arrivals since the last call: (transport-wide sequence number without wrap, arrival in us), ascending."""

    arrivals: list


cdef uint64_t to_us(double seconds) noexcept nogil:
    return <uint64_t>(seconds * 1e6 + 0.5) if seconds > 0 else 0


cdef object ntp_time(uint64_t now_us):
    return ((now_us + _NTP_OFFSET_US) << 32) // 1000000


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
        for reason, key in _DROP_KEYS:
            result[key] = f.drops[<int>reason]
        return result

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
                for i in range(EPOCHS):
                    if slot.epochs[i].stream == s:
                        slot.epochs[i].stream = NULL
                if slot.current == s:
                    slot.current = NULL
                if slot.target == s:
                    slot.target = NULL
        s.follower_count = 0
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
        for tag, data, source, local in self.take():
            if tag == EVENT_STUN:
                events.append((Event.STUN, self.socket_at(local), data, source, local))
            elif tag == EVENT_DTLS:
                events.append((Event.DTLS, self.find(source, local), data, source, local, self.socket_at(local)))
            else:
                t = self.find(source, local)
                if t is not None:
                    events.append((Event.RTCP, t, data))
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
    if e.event == EVENT_SWITCHED:
        return Event.SWITCHED, <object>(<slot_t *>e.subject).object, <object>e.stream.object
    missing = [(e.first + i) & 0xFFFF for i in range(64 * LOSS_WORDS) if e.missing[i >> 6] >> (i & 63) & 1]
    return Event.LOST, <object>(<stream_t *>e.subject).object, missing


def _session(int profile, bytes key, bint inbound):
    policy = Policy(key, Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND, 0, profile)
    policy.allow_repeat_tx = not inbound
    policy.window_size = WINDOW
    return Session(policy)


cdef class Transport:
    """One peer connection: its validated remote addresses, SRTP contexts, extension ids, streams in and slots out."""

    cdef transport_t *t
    cdef readonly Forwarder forwarder
    cdef public object owner
    cdef UdpSocket _socket
    cdef object _inbound
    cdef object _outbound
    cdef dict _streams
    cdef set _slots
    cdef set _sent_ssrcs            # under the present keys: no SSRC may start anew, that would repeat SRTP's IVs
    cdef readonly bint closed

    def __cinit__(self, Forwarder forwarder not None, owner=None):
        self.t = <transport_t *>calloc(1, sizeof(transport_t))
        if self.t == NULL:
            raise MemoryError
        self.t.object = <void *>self
        self.t.f = forwarder.f
        self.forwarder = forwarder
        self.owner = owner
        self._streams = {}
        self._slots = set()
        self._sent_ssrcs = set()

    def __dealloc__(self):
        if self.t != NULL:
            free(self.t.ssrcs)
            free(self.t.arrivals)
            free(self.t)

    cdef int remove_pair(self, const pair_t *pair) except -1:
        cdef transport_t *t = self.t
        cdef int i
        for i in range(t.pair_count):
            if endpoint_equal(&t.pairs[i].remote, &pair.remote) and endpoint_equal(&t.pairs[i].local, &pair.local):
                remove_route(t.f, pair)
                t.pair_count -= 1
                memmove(&t.pairs[i], &t.pairs[i + 1], (t.pair_count - i) * sizeof(pair_t))
                break
        return 0

    def add_remote(self, remote, local):
        """Datagrams from `remote` to `local` belong here from now on; at most MAX_REMOTES, the oldest goes."""
        cdef transport_t *t = self.t
        cdef transport_t *other
        cdef pair_t pair, oldest
        if self.closed:
            return
        endpoint_from_python(remote, &pair.remote)
        endpoint_from_python(local, &pair.local)
        other = find_route(t.f, &pair.remote, &pair.local)
        if other != NULL:
            (<Transport>other.object).remove_pair(&pair)
        if t.pair_count == C_MAX_REMOTES:
            oldest = t.pairs[0]
            self.remove_pair(&oldest)
        put_route(t.f, &pair, t)
        t.pairs[t.pair_count] = pair
        t.pair_count += 1

    def select(self, UdpSocket socket not None, remote, local):
        """Where to send from now on (nominated pair)."""
        cdef pair_t pair
        if self.closed:
            return
        endpoint_from_python(remote, &pair.remote)
        endpoint_from_python(local, &pair.local)
        self._socket = socket
        self.t.socket = socket.handle
        self.t.selected = pair

    def selected(self):
        """(remote, local) of the selected pair."""
        if self.t.socket == NULL:
            return None
        return endpoint_to_python(&self.t.selected.remote), endpoint_to_python(&self.t.selected.local)

    def set_keys(self, int profile, bytes local_key not None, bytes remote_key not None):
        """pylibsrtp profile number and key||salt of each direction; ValueError for keys that do not fit."""
        if self.closed:
            return
        try:
            inbound, outbound = _session(profile, remote_key, True), _session(profile, local_key, False)
        except pylibsrtp.Error as error:
            raise ValueError(str(error)) from None
        self._inbound, self._outbound = inbound, outbound
        self.t.inbound = <void *><uintptr_t>int(ffi.cast("uintptr_t", inbound._srtp[0]))
        self.t.outbound = <void *><uintptr_t>int(ffi.cast("uintptr_t", outbound._srtp[0]))
        self._sent_ssrcs.clear()

    def set_extensions(self, receive, send):
        """Negotiated ids: what the peer sends, and what we send to it."""
        for identifier in [*receive, *send.values()]:
            if not 1 <= identifier <= 255:
                raise ValueError(f"extension id {identifier} is not in 1..255")
        memset(self.t.receive_map, 0, 256)
        memset(self.t.send_ids, 0, EXT_LAST + 1)
        for identifier, meaning in receive.items():
            self.t.receive_map[<int>identifier] = int(Extension(meaning))
        for meaning, identifier in send.items():
            self.t.send_ids[<int>int(Extension(meaning))] = identifier
        for stream in self._streams.values():
            drop_cache((<Stream>stream).s)
        for slot in self._slots:
            (<Slot>slot).forget_stamps()

    def set_payloads(self, payloads):
        """payload type -> (kind, clock rate, payload type it repairs when it is RTX else None), for what the peer sends."""
        cdef payload_t *p
        for number, (_, _, repairs) in payloads.items():
            if not 0 <= number <= 127 or not (repairs is None or 0 <= repairs <= 127):
                raise ValueError(f"payload type {number} or what it repairs is not in 0..127")
        memset(self.t.payloads, 0, sizeof(self.t.payloads))
        for number, (kind, clock, repairs) in payloads.items():
            p = &self.t.payloads[<int>number]
            p.known = True
            p.kind = int(Kind(kind))
            p.clock = clock
            p.repairs = NO_PAYLOAD if repairs is None else repairs

    cdef ssrc_t *claim(self, uint32_t ssrc) except NULL:
        cdef ssrc_t *entry = find_ssrc(self.t, ssrc)
        if self.closed:
            raise ValueError("the transport is closed")
        self.t.f.now_us = read_clock(self.t.f)
        if entry == NULL:
            entry = new_ssrc(self.t, ssrc)
        if entry == NULL:
            raise ValueError("too many SSRCs")
        if entry.stream != NULL:
            raise ValueError(f"SSRC {ssrc} is taken")
        return entry

    def add_stream(self, uint32_t ssrc, *, bint audio):
        """A media SSRC the peer sends; ValueError past MAX_STREAMS or when the SSRC is taken."""
        cdef ssrc_t *entry
        cdef Stream stream
        if len(self._streams) >= C_MAX_STREAMS:
            raise ValueError("too many streams")
        entry = self.claim(ssrc)
        stream = Stream(self, ssrc, audio)
        entry.role = ROLE_MEDIA
        entry.stream = stream.s
        self._streams[ssrc] = stream
        return stream

    def add_repair(self, uint32_t ssrc, Stream stream not None):
        """The RTX SSRC of `stream`: unwrapped and treated as the stream's own packets."""
        cdef ssrc_t *entry
        if stream.s.transport != self.t:
            raise ValueError("not a stream of this transport")
        entry = self.claim(ssrc)
        entry.role = ROLE_REPAIR
        entry.stream = stream.s

    def remove_stream(self, uint32_t ssrc):
        """Ends a stream (with its repairs) or one repair; slots that follow it become silent."""
        cdef ssrc_t *entry = find_ssrc(self.t, ssrc)
        cdef stream_t *s
        cdef int i
        if entry == NULL or entry.stream == NULL:
            return
        s = entry.stream
        for i in range(self.t.ssrc_count):
            if entry.role == ROLE_MEDIA and self.t.ssrcs[i].stream == s and self.t.ssrcs[i].ssrc != ssrc:
                self.t.ssrcs[i].stream = NULL
                self.t.ssrcs[i].role = ROLE_UNKNOWN
        entry.stream = NULL
        if entry.role == ROLE_MEDIA:
            stream = self._streams.pop(ssrc)        # keeps it alive until it is unlinked
            self.forwarder.unlink_stream(s)
        entry.role = ROLE_UNKNOWN

    def add_slot(self, str mid not None, uint32_t ssrc, *, rtx_ssrc, bint audio):
        """An outgoing m-line; ValueError past MAX_SLOTS, for a MID over 16 bytes, and for an SSRC used before."""
        if self.closed:
            raise ValueError("the transport is closed")
        if len(self._slots) >= C_MAX_SLOTS:
            raise ValueError("too many slots")
        if ssrc in self._sent_ssrcs or rtx_ssrc in self._sent_ssrcs or ssrc == rtx_ssrc:
            raise ValueError("an SSRC is used once under the same keys")
        slot = Slot(self, mid, ssrc, rtx_ssrc, audio)
        self._sent_ssrcs.add(ssrc)
        if rtx_ssrc is not None:
            self._sent_ssrcs.add(rtx_ssrc)
        self._slots.add(slot)
        return slot

    def remove_slot(self, Slot slot not None):
        """Ends a slot; it sends nothing any more."""
        if slot in self._slots:
            self._slots.discard(slot)
            slot.unlink()

    def send_rtcp(self, bytes compound not None):
        """Protects and sends to the selected pair; dropped and counted before keys and a pair are there."""
        cdef transport_t *t = self.t
        cdef int length = len(compound)
        cdef uint8_t *data
        if t.outbound == NULL or t.socket == NULL:
            drop(t.f, DROP_NO_KEYS if t.outbound == NULL else DROP_NO_PATH)
            return
        if not 8 <= length <= MAX_RTP_BYTES:
            drop(t.f, DROP_TOO_LARGE if length > 8 else DROP_MALFORMED)
            return
        data = udp_reserve(length + OUT_ROOM)
        memcpy(data, <char *>compound, length)
        if srtp_protect_rtcp(t.outbound, data, &length) != 0:
            drop(t.f, DROP_PROTECT)
            return
        self.commit(length)

    def send_raw(self, bytes data not None):
        """Sends to the selected pair as it is; dropped and counted before there is one."""
        cdef int length = len(data)
        cdef uint8_t *room = udp_reserve(length) if length <= MAX_RTP_BYTES else NULL
        if self.t.socket == NULL or room == NULL:
            drop(self.t.f, DROP_NO_PATH if self.t.socket == NULL else DROP_TOO_LARGE)
            return
        memcpy(room, <char *>data, length)
        self.commit(length)

    cdef void commit(self, int length) noexcept:
        cdef transport_t *t = self.t
        t.packets_out += 1
        t.bytes_out += length
        with nogil:
            udp_commit(t.socket, &t.selected.remote, &t.selected.local, length)
            udp_flush()

    def take_arrivals(self):
        """Arrivals since the last call, for transport-cc: numbers without wrap, ascending, each once."""
        cdef int i
        cdef dict first = {}
        for i in range(self.t.arrival_count):
            first.setdefault(self.t.arrivals[i].number, self.t.arrivals[i].at_us)
        self.t.arrival_count = 0
        return ArrivalRun(sorted(first.items()))

    @property
    def bytes_in(self):
        return self.t.bytes_in

    @property
    def bytes_out(self):
        return self.t.bytes_out

    @property
    def packets_in(self):
        return self.t.packets_in

    @property
    def packets_out(self):
        return self.t.packets_out

    @property
    def last_received_at(self):
        return self.t.last_received_us / 1e6

    def close(self):
        """Ends streams and slots, forgets addresses and keys; may be called twice."""
        cdef pair_t pair
        if self.closed:
            return
        for ssrc in list(self._streams):
            self.remove_stream(ssrc)
        for slot in list(self._slots):
            self.remove_slot(slot)
        while self.t.pair_count:
            pair = self.t.pairs[0]
            self.remove_pair(&pair)
        forget_events(self.t.f, self.t)
        self.closed = True
        self.t.socket = NULL
        self.t.inbound = self.t.outbound = NULL
        self._inbound = self._outbound = self._socket = None
        self.forwarder._transports.discard(self)


cdef class Stream:
    """One incoming SSRC (a layer of a track): statistics, loss detection, packet cache of originals."""

    cdef stream_t *s
    cdef readonly Transport transport

    def __cinit__(self, Transport transport not None, uint32_t ssrc, bint audio):
        self.s = <stream_t *>calloc(1, sizeof(stream_t))
        if self.s == NULL:
            raise MemoryError
        self.s.object = <void *>self
        self.s.transport = transport.t
        self.s.ssrc = ssrc
        self.s.audio = audio
        self.s.active = True
        self.s.clock = 48000 if audio else 90000
        self.transport = transport

    def __dealloc__(self):
        if self.s != NULL:
            drop_cache(self.s)
            free(self.s.followers)
            free(self.s)

    @property
    def ssrc(self):
        return self.s.ssrc

    @property
    def kind(self):
        return Kind(self.s.kind)

    @property
    def packets(self):
        return self.s.packets

    @property
    def bytes(self):
        return self.s.bytes

    @property
    def lost(self):
        return self.s.highest - self.s.base + 1 - self.s.received if self.s.started else 0

    @property
    def fraction_lost(self):
        """Of 256, since the last receiver_report()."""
        cdef int64_t expected = self.s.highest - self.s.base + 1 - self.s.expected_before
        cdef int64_t lost = expected - (self.s.received - self.s.received_before)
        if not self.s.started or expected <= 0 or lost <= 0:
            return 0
        return min(255, (lost << 8) // expected)

    @property
    def jitter(self):
        return self.s.jitter >> 4

    @property
    def last_packet_at(self):
        return self.s.last_packet_us / 1e6

    @property
    def last_keyframe_at(self):
        return self.s.last_keyframe_us / 1e6

    @property
    def width(self):
        return self.s.width

    @property
    def height(self):
        return self.s.height

    @property
    def active(self):
        return self.s.active

    @active.setter
    def active(self, bint value):
        if self.s.active and not value:
            interrupt(self.s)
        self.s.active = value

    def receiver_report(self):
        """(fraction_lost, cumulative lost, extended highest sequence number, jitter); starts a new interval."""
        if not self.s.started:
            return 0, 0, 0, 0
        fraction = self.fraction_lost
        self.s.expected_before = self.s.highest - self.s.base + 1
        self.s.received_before = self.s.received
        return fraction, self.lost, (self.s.highest - 65536) & 0xFFFFFFFF, self.s.jitter >> 4

    def sender_report(self, ntp, rtp_timestamp, double arrived_at):
        """The publisher's latest SR: maps its RTP clock for slots' sender reports."""
        cdef transport_t *t = self.s.transport
        cdef int64_t offset
        if t == NULL:
            return
        ntp &= 0xFFFFFFFFFFFFFFFF
        offset = (ntp_time(to_us(arrived_at)) - ntp + (1 << 63)) % (1 << 64) - (1 << 63)
        if not t.has_clock_offset or offset < t.clock_offset or offset - t.clock_offset > <int64_t>2 << 32:
            t.clock_offset = offset             # least delay seen; or the peer's clock was set
            t.has_clock_offset = True
        self.s.has_report = True
        self.s.report_ntp = ntp
        self.s.report_timestamp = rtp_timestamp & 0xFFFFFFFF
        self.s.report_us = to_us(arrived_at)

    def still_missing(self, sequence_numbers):
        """Those of them that have not arrived and are not too old to be of use: what to ask for again."""
        cdef int64_t extended
        cdef list result = []
        if not self.s.started:
            return result
        for number in sequence_numbers:
            extended = self.s.highest + <int16_t>(<uint16_t>number - <uint16_t>(self.s.highest & 0xFFFF))
            if self.s.base <= extended < self.s.highest and self.s.highest - extended < WINDOW:
                if not in_window(self.s, extended):
                    result.append(number)
        return result

    def take_level(self):
        """(packets, mean level in dBov below full scale) of RFC 6464 since the last call; None without packets."""
        if self.s.levels == 0:
            return None
        result = self.s.levels, round(self.s.level_sum / self.s.levels)
        self.s.levels = self.s.level_sum = 0
        return result


cdef class Slot:
    """One outgoing m-line: stable SSRC; follows one stream at a time."""

    cdef slot_t *s
    cdef readonly Transport transport
    cdef readonly str mid

    def __cinit__(self, Transport transport not None, str mid not None, uint32_t ssrc, rtx_ssrc, bint audio):
        cdef bytes name = mid.encode()
        if len(name) > NAME_BYTES:
            raise ValueError("MID is longer than 16 bytes")
        self.s = <slot_t *>calloc(1, sizeof(slot_t))
        if self.s == NULL:
            raise MemoryError
        self.s.object = <void *>self
        self.s.transport = transport.t
        self.s.ssrc = ssrc
        self.s.has_rtx = rtx_ssrc is not None
        self.s.rtx_ssrc = rtx_ssrc or 0
        self.s.audio = audio
        memcpy(self.s.mid, <char *>name, len(name))
        self.s.mid_length = len(name)
        memset(self.s.payload_types, NO_PAYLOAD, KINDS)
        memset(self.s.rtx_payload_types, NO_PAYLOAD, KINDS)
        self.transport = transport
        self.mid = mid

    def __dealloc__(self):
        if self.s != NULL:
            free(self.s.resends)
            free(self.s.stamps)
            free(self.s)

    cdef void forget_stamps(self) noexcept:
        free(self.s.stamps)
        self.s.stamps = NULL

    cdef void silence(self) noexcept:
        if self.s.current != NULL:
            remove_follower(self.s.current, self.s)
        if self.s.target != NULL:
            remove_follower(self.s.target, self.s)
        self.s.current = self.s.target = NULL
        self.s.resync = False

    cdef void unlink(self) noexcept:
        self.silence()
        forget_events(self.s.transport.f, self.s)
        self.s.transport = NULL

    @property
    def ssrc(self):
        return self.s.ssrc

    @property
    def packets(self):
        return self.s.packets

    @property
    def bytes(self):
        return self.s.bytes

    @property
    def retransmitted(self):
        return self.s.retransmitted

    def map_payload(self, kind, int payload_type, rtx_payload_type):
        """Payload type this subscriber negotiated for a kind; a stream of an unmapped kind is dropped (reason `codec`)."""
        cdef int number = int(Kind(kind))
        if not 0 <= payload_type <= 127 or not (rtx_payload_type is None or 0 <= rtx_payload_type <= 127):
            raise ValueError("payload type is not in 0..127")
        self.s.payload_types[number] = payload_type
        self.s.rtx_payload_types[number] = NO_PAYLOAD if rtx_payload_type is None else rtx_payload_type
        self.forget_stamps()

    def follow(self, Stream stream):
        """Switches source or layer; see forward.pyi. None, or a stream that has ended: silence."""
        cdef slot_t *slot = self.s
        cdef stream_t *s
        if slot.transport == NULL:
            return
        if stream is None or stream.s.transport == NULL:
            self.silence()
            return
        s = stream.s
        if slot.target != NULL and slot.target != s and slot.target != slot.current:
            remove_follower(slot.target, slot)
        slot.target = NULL
        if slot.current == s:
            return
        if slot.current != NULL and slot.current.transport != s.transport:
            self.silence()
        add_follower(s, slot)
        slot.target = s
        if not slot.audio:
            slot.transport.f.now_us = read_clock(slot.transport.f)
            ask_keyframe(slot.transport.f, s)

    def current(self):
        """The stream it carries."""
        return <object>self.s.current.object if self.s.current != NULL else None

    def target(self):
        """The stream it waits for."""
        return <object>self.s.target.object if self.s.target != NULL else None

    def retransmit(self, sequence_numbers):
        """Answers a NACK from the cache (RTX when negotiated, else verbatim); returns how many were found."""
        cdef int found = 0
        if self.s.transport == NULL or self.s.epoch_count == 0:
            return 0
        self.s.transport.f.now_us = read_clock(self.s.transport.f)
        for number in sequence_numbers[:MAX_NACK]:
            found += retransmit_packet(self.s.transport.f, self.s, <uint16_t>number)
        with nogil:
            udp_flush()
        return found

    def sender_report(self, double now):
        """(ntp, rtp timestamp, packets, octets) mapped to the slot's timeline; None before the first packet."""
        cdef epoch_t *e
        cdef stream_t *s = self.s.current
        if self.s.packets == 0:
            return None
        e = &self.s.epochs[(self.s.epoch_count - 1) % EPOCHS]
        ntp = ntp_time(to_us(now))
        if s != NULL and s == e.stream and s.has_report and s.transport.has_clock_offset:
            elapsed = (ntp - s.transport.clock_offset - s.report_ntp + (1 << 63)) % (1 << 64) - (1 << 63)
            timestamp = s.report_timestamp + (elapsed * s.clock >> 32) + e.timestamp
        else:
            clock = e.stream.clock if e.stream != NULL else 48000 if self.s.audio else 90000
            timestamp = self.s.last_timestamp + (<int64_t>to_us(now) - <int64_t>self.s.last_us) * clock // 1000000
        return ntp, timestamp & 0xFFFFFFFF, self.s.packets, self.s.bytes
