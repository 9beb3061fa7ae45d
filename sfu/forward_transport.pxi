# The Python face of a peer connection; it owns its transport_t.


def _session(int profile, bytes key, bint inbound):
    policy = Policy(key, Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND, 0, profile)
    policy.allow_repeat_tx = not inbound
    policy.window_size = WINDOW
    return Session(policy)


cdef inline bint pair_equal(const pair_t *a, const pair_t *b) noexcept nogil:
    return endpoint_equal(&a.remote, &b.remote) and endpoint_equal(&a.local, &b.local)


cdef int find_remote(transport_t *t, const pair_t *pair) noexcept nogil:
    """Where a pair that is routed to `t` stands among its remotes."""
    cdef int i
    for i in range(t.remote_count):
        if pair_equal(&t.remotes[i].pair, pair):
            return i
    return -1


cdef void remove_remote(transport_t *t, int i) noexcept nogil:
    if i < 0:
        return
    remove_route(t.f, &t.remotes[i].pair)
    t.remote_count -= 1
    t.remotes[i] = t.remotes[t.remote_count]


cdef int stalest_remote(transport_t *t) noexcept nogil:
    """The pair checked longest ago, never the one in use."""
    cdef int i, found = -1
    for i in range(t.remote_count):
        if t.socket != NULL and pair_equal(&t.remotes[i].pair, &t.selected):
            continue
        if found < 0 or t.remotes[i].checked_us < t.remotes[found].checked_us:
            found = i
    return found


cdef uint64_t heard_us(transport_t *t, const pair_t *pair) noexcept nogil:
    """When something authentic came from a pair of `t`: a check, or media (told by connection) on the selected one."""
    cdef int i = find_remote(t, pair)
    cdef uint64_t at = t.remotes[i].checked_us if i >= 0 else 0
    if t.socket != NULL and pair_equal(pair, &t.selected):
        at = max(at, t.last_received_us)
    return at


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
        self.t.pacer.transport = self.t
        self.t.resend_budget = C_RESEND_BURST
        self.forwarder = forwarder
        self.owner = owner
        self._streams = {}
        self._slots = set()
        self._sent_ssrcs = set()

    def __dealloc__(self):
        if self.t != NULL:
            close_sealer(self.t)
            free(self.t.ssrcs)
            free(self.t.arrivals)
            drop_path(self.t)
            free(self.t)

    def is_taken(self, remote, local):
        """Whether another connection holds this pair: its checks, or media on its selected pair, came just now."""
        cdef pair_t pair
        cdef transport_t *other
        endpoint_from_python(remote, &pair.remote)
        endpoint_from_python(local, &pair.local)
        other = find_route(self.t.f, &pair.remote, &pair.local)
        return other != NULL and other != self.t and read_clock(self.t.f) < heard_us(other, &pair) + ROUTE_HOLD_US

    def add_remote(self, remote, local):
        """Notes an authenticated check; see forward.pyi."""
        cdef transport_t *t = self.t
        cdef transport_t *owner
        cdef pair_t pair
        if self.closed:
            return
        endpoint_from_python(remote, &pair.remote)
        endpoint_from_python(local, &pair.local)
        owner = find_route(t.f, &pair.remote, &pair.local)
        if owner != t:
            if owner != NULL:
                remove_remote(owner, find_remote(owner, &pair))
            if t.remote_count == C_MAX_REMOTES:
                remove_remote(t, stalest_remote(t))
            put_route(t.f, &pair, t)
            t.remotes[t.remote_count].pair = pair
            t.remote_count += 1
        t.remotes[find_remote(t, &pair)].checked_us = read_clock(t.f)

    def send_check(self, UdpSocket socket not None, bytes data not None, remote, local):
        """Sends a STUN message; it counts towards the uplink."""
        cdef endpoint_t to
        endpoint_from_python(remote, &to)
        pay(&self.t.f.uplink, &to, len(data))
        socket.send(data, remote, local)

    def select(self, UdpSocket socket not None, remote, local):
        """Where to send from now on (nominated pair)."""
        cdef pair_t pair
        if self.closed:
            return
        endpoint_from_python(remote, &pair.remote)
        endpoint_from_python(local, &pair.local)
        if self.t.path != NULL and not pair_equal(&pair, &self.t.selected):
            move_path(self.t.path, read_clock(self.t.f))
        self._socket = socket
        self.t.socket = socket.handle
        self.t.selected = pair

    def pace(self, int64_t bps):
        """What media may take of this path; see forward.pyi."""
        if bps < 0:
            raise ValueError("a pace is not negative")
        if bps == self.t.pacer.bps:
            return
        self.t.f.now_us = read_clock(self.t.f)
        set_pace(self.t.f, &self.t.pacer, bps)

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
        open_sealer(self.t, profile, local_key)
        self._inbound, self._outbound = inbound, outbound
        self.t.inbound = <void *><uintptr_t>int(ffi.cast("uintptr_t", inbound._srtp[0]))
        self.t.outbound = <void *><uintptr_t>int(ffi.cast("uintptr_t", outbound._srtp[0]))
        self._sent_ssrcs.clear()

    def set_extensions(self, receive, send):
        """Negotiated ids: what the peer sends, and what we send to it."""
        cdef uint8_t receive_map[256]
        cdef uint8_t send_ids[EXT_LAST + 1]
        for identifier in [*receive, *send.values()]:
            if not 1 <= identifier <= 255:
                raise ValueError(f"extension id {identifier} is not in 1..255")
        memset(receive_map, 0, sizeof(receive_map))
        memset(send_ids, 0, sizeof(send_ids))
        for identifier, meaning in receive.items():
            receive_map[<int>identifier] = int(Extension(meaning))
        for meaning, identifier in send.items():
            send_ids[<int>int(Extension(meaning))] = identifier
        if memcmp(receive_map, self.t.receive_map, sizeof(receive_map)):
            memcpy(self.t.receive_map, receive_map, sizeof(receive_map))
            for stream in self._streams.values():
                drop_cache((<Stream>stream).s)
        if memcmp(send_ids, self.t.send_ids, sizeof(send_ids)):
            memcpy(self.t.send_ids, send_ids, sizeof(send_ids))
            for slot in self._slots:
                (<Slot>slot).forget_stamps()

    def set_payloads(self, payloads):
        """What the peer sends: payload type -> (kind, clock rate, payload type it repairs when it is RTX else None)."""
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
            self.forwarder.unlink_stream(s)
            del self._streams[ssrc]
        entry.role = ROLE_UNKNOWN

    def add_slot(self, str mid not None, uint32_t ssrc, *, rtx_ssrc, bint audio, str cname=""):
        """An outgoing m-line; ValueError past MAX_SLOTS, for a MID over 16 bytes, and for an SSRC used before."""
        if self.closed:
            raise ValueError("the transport is closed")
        if len(self._slots) >= C_MAX_SLOTS:
            raise ValueError("too many slots")
        if ssrc in self._sent_ssrcs or rtx_ssrc in self._sent_ssrcs or ssrc == rtx_ssrc:
            raise ValueError("an SSRC is used once under the same keys")
        slot = Slot(self, mid, ssrc, rtx_ssrc, audio, cname)
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

    def send_reports(self, double now):
        """SR and SDES of all slots that have sent and carry something; see forward.pyi."""
        cdef slot_t *batch[MAX_CHUNKS]
        cdef slot_t *s
        cdef uint64_t now_us = to_us(now)
        cdef int count = 0, size = 4, total = 0
        if self.t.outbound == NULL or self.t.socket == NULL:
            return None
        for slot in self._slots:
            s = (<Slot>slot).s
            if not reports(s):
                continue
            if count == MAX_CHUNKS or size + REPORT_BYTES + chunk_bytes(s) > MAX_COMPOUND_BYTES:
                self.send_compound(batch, count, now_us)
                count, size = 0, 4
            batch[count] = s
            count += 1
            total += 1
            size += REPORT_BYTES + chunk_bytes(s)
        if count:
            self.send_compound(batch, count, now_us)
        return (ntp_of(now_us) >> 16 & 0xFFFFFFFF, total) if total else None

    cdef void send_compound(self, slot_t **slots, int count, uint64_t now_us) noexcept:
        cdef uint8_t *data = udp_reserve(MAX_COMPOUND_BYTES + OUT_ROOM)
        cdef int length = put_compound(data, slots, count, now_us)
        if srtp_protect_rtcp(self.t.outbound, data, &length) != 0:
            drop(self.t.f, DROP_PROTECT)
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
        pay(&t.f.uplink, &t.selected.remote, length)
        with nogil:
            udp_commit(t.socket, &t.selected.remote, &t.selected.local, length)
            udp_flush()

    def send_feedback(self, uint32_t sender_ssrc, uint32_t media_ssrc, bytes head not None):
        """Transport-wide feedback on what came since the last call, behind `head`; returns how many packets."""
        cdef transport_t *t = self.t
        cdef int index = 0, length, sent = 0, head_bytes = len(head)
        cdef int64_t told
        cdef uint8_t *data
        if t.outbound == NULL or t.socket == NULL or head_bytes > MAX_COMPOUND_BYTES:
            t.arrival_count = 0
            return 0
        sort_arrivals(t)
        told = t.next_number
        while index < t.arrival_count:
            data = udp_reserve(head_bytes + MAX_ANSWER_BYTES + OUT_ROOM)
            memcpy(data, <char *>head, head_bytes)
            length = <int>(put_feedback(data + head_bytes, t, &index, sender_ssrc, media_ssrc) - data)
            if srtp_protect_rtcp(t.outbound, data, &length) != 0:
                drop(t.f, DROP_PROTECT)
                continue
            self.commit(length)
            sent += 1
        t.next_number = max(t.next_number, told)
        t.arrival_count = 0
        return sent

    def path_report(self):
        """What feedback said since the last call; None when there was none."""
        cdef path_t *path = self.t.path
        cdef double acked_bps, recent_bps, sent_bps, unused
        if path == NULL or path.feedbacks == 0:
            return None
        rates(path, RECENT_US, &recent_bps, &unused)
        rates(path, RATE_US, &acked_bps, &sent_bps)
        report = PathReport(
            path.received, path.missed,
            path.acked_bytes - path.reported_acked, path.sent_bytes - path.reported_sent,
            acked_bps, recent_bps, sent_bps, max(path.queue_us, 0) / 1e6, path.rtt_us / 1e6,
            path.use == USE_OVER, path.overused, path.use == USE_UNDER, path.moved,
            self.probe_report(),
        )
        path.feedbacks = 0
        path.received = path.missed = 0
        path.reported_acked = path.acked_bytes
        path.reported_sent = path.sent_bytes
        path.overused = path.moved = False
        return report

    cdef object probe_report(self):
        cdef cluster_t *c = &self.t.path.probe
        if not c.used:
            return None
        return ProbeReport(
            <uint16_t>((self.t.send_number if c.open else c.end) - c.first), c.received, c.missed,
            cluster_rate(c.bytes, c.last_bytes, c.first_sent, c.last_sent) if c.received else 0.0,
            cluster_rate(c.bytes, c.first_bytes, c.first_arrival, c.last_arrival) if c.received else 0.0,
        )

    def begin_probe(self):
        """Measures what is sent from now on by itself; False before there was feedback."""
        if self.t.path == NULL:
            return False
        memset(&self.t.path.probe, 0, sizeof(cluster_t))
        self.t.path.probe.first = self.t.send_number
        self.t.path.probe.open = self.t.path.probe.used = True
        return True

    def end_probe(self):
        """The packets sent since `begin_probe` are the probe."""
        if self.t.path != NULL and self.t.path.probe.open:
            self.t.path.probe.open = False
            self.t.path.probe.end = self.t.send_number

    def set_feedback_interval(self, double seconds):
        """At least so long between two FEEDBACK events, but for one when over-use begins."""
        if self.t.path != NULL:
            self.t.path.feedback_us = max(to_us(seconds), <uint64_t>URGENT_US)

    def pad(self, int wire_bytes):
        """Sends about `wire_bytes` as RTX; returns the wire bytes that went out, 0 where no slot has RTX."""
        cdef transport_t *t = self.t
        cdef slot_t *slot = NULL
        cdef uint64_t packets = t.packets_out
        cdef int sent = 0
        if t.outbound == NULL or t.socket == NULL or wire_bytes <= 0:
            return 0
        t.f.now_us = read_clock(t.f)
        for each in self._slots:
            slot = (<Slot>each).s
            if slot.has_rtx and slot.current != NULL:
                sent += pad_with_repeats(t.f, slot, wire_bytes - sent)
        for each in self._slots:
            slot = (<Slot>each).s
            if slot.has_rtx and sent == 0:
                sent += pad_with_nothing(t.f, slot, wire_bytes)
        with nogil:
            udp_flush()
        t.f.padding_packets += t.packets_out - packets
        t.f.padding_bytes += sent
        return sent

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
        if self.closed:
            return
        for ssrc in list(self._streams):
            self.remove_stream(ssrc)
        for slot in list(self._slots):
            self.remove_slot(slot)
        while self.t.remote_count:
            remove_remote(self.t, 0)
        forget_events(self.t.f, self.t)
        unlist(self.t.f, &self.t.pacer)
        self.closed = True
        self.t.socket = NULL
        self.t.inbound = self.t.outbound = NULL
        close_sealer(self.t)
        self._inbound = self._outbound = self._socket = None
        self.forwarder._transports.discard(self)
