# Datagrams in: classification, SRTP, statistics of the incoming stream, its cache; what goes on is put into f.work.


cdef void receive_datagrams(void *context, packet_t *packets, int count) noexcept nogil:
    """The receiver's function: handles one batch."""
    cdef forwarder_t *f = <forwarder_t *>context
    cdef transport_t *t = NULL
    cdef packet_t *p
    cdef packet_t *found = NULL     # whose transport `t` is
    cdef int i
    cdef uint8_t first
    cdef bint brought
    f.now_us = read_clock(f)
    for i in range(count):
        p = &packets[i]
        if p.length == 0:
            drop(f, DROP_GARBAGE)
            continue
        if f.own_clock:
            p.arrived_us = f.now_us
        f.arrived_us = p.arrived_us
        first = p.data[0]
        if first < 2:
            (<Receiver>f.object).keep(p, EVENT_STUN)
        elif 20 <= first < 64:
            (<Receiver>f.object).keep(p, EVENT_DTLS)
        elif first < 128 or first > 191:
            drop(f, DROP_GARBAGE)
        else:
            if found == NULL or not (
                endpoint_equal(&p.source, &found.source) and endpoint_equal(&p.local, &found.local)
            ):
                t = find_route(f, &p.source, &p.local)
                found = p
            if t == NULL:
                drop(f, DROP_UNKNOWN_ADDRESS)
            else:
                receive_media(f, t, p)
    brought = f.work_count > 0
    forward_work(f)
    if brought:
        udp_flush()
        note_duration(f)


cdef void note_duration(forwarder_t *f) noexcept nogil:
    """Counts what the batch took, from before its first packet was looked at until its last copy was sent."""
    cdef uint64_t passed = read_clock(f) - f.now_us
    cdef int i = 0
    while i < DURATIONS - 1 and passed > <uint64_t>SHORTEST_US << i:
        i += 1
    f.durations[i] += 1
    f.durations_us += passed


cdef void receive_media(forwarder_t *f, transport_t *t, packet_t *p) noexcept nogil:
    cdef int length = <int>p.length, status
    cdef ssrc_t *entry
    if t.inbound == NULL:
        drop(f, DROP_NO_KEYS)
        return
    if length < RTP_HEADER or length > MAX_RTP_BYTES:
        drop(f, DROP_MALFORMED if length < RTP_HEADER else DROP_TOO_LARGE)
        return
    if 64 <= (p.data[1] & 0x7F) < 96:           # RFC 5761 §4
        status = srtp_unprotect_rtcp(t.inbound, p.data, &length)
        if status == 0:
            t.last_received_us = f.now_us
            p.length = <uint32_t>take_transport_cc(f, t, p.data, length)
            if p.length:
                (<Receiver>f.object).keep(p, EVENT_RTCP)
        else:
            drop(f, DROP_REPLAY if status == 9 or status == 10 else DROP_AUTHENTICATION)
        return
    entry = find_ssrc(t, read32(p.data + 8))
    if entry == NULL and t.ssrc_count == C_MAX_SSRCS and expired_ssrc(t) == NULL:
        drop(f, DROP_SSRC_LIMIT)
        return
    status = srtp_unprotect(t.inbound, p.data, &length)
    if status != 0:
        drop(f, DROP_REPLAY if status == 9 or status == 10 else DROP_AUTHENTICATION)
        return
    t.packets_in += 1
    t.bytes_in += length
    t.last_received_us = f.now_us
    receive_rtp(f, t, entry, p.data, length)


cdef void receive_rtp(forwarder_t *f, transport_t *t, ssrc_t *entry, uint8_t *data, int length) noexcept nogil:
    """One authenticated packet: finds its stream."""
    cdef rtp_t *p
    cdef extension_t *e
    cdef payload_t *payload
    if f.work_count == WORK:
        forward_work(f)
    p = &f.work[f.work_count]
    if not read_rtp(p, data, length, t.receive_map):
        drop(f, DROP_MALFORMED)
        return
    e = find_extension(p, EXT_TRANSPORT_SEQUENCE)
    if e != NULL and e.length == 2:
        record_arrival(f, t, read16(data + e.offset))
    if entry == NULL:
        entry = new_ssrc(t, p.ssrc)
        if entry == NULL:
            drop(f, DROP_SSRC_LIMIT)
            return
    entry.seen_us = f.now_us
    if entry.role == ROLE_UNKNOWN:
        report_unknown(f, t, entry, p)
        return
    payload = &t.payloads[p.payload_type]
    if not payload.known or (payload.repairs != NO_PAYLOAD) != (entry.role == ROLE_REPAIR):
        drop(f, DROP_PAYLOAD_TYPE)
        return
    if entry.role == ROLE_REPAIR and not unwrap_repair(f, t, entry, p, payload):
        return
    receive_packet(f, t, entry.stream, p, entry.role == ROLE_REPAIR)


cdef bint unwrap_repair(forwarder_t *f, transport_t *t, ssrc_t *entry, rtp_t *p, payload_t *payload) noexcept nogil:
    """RFC 4588 §4: takes the original sequence number out of the payload, in place. False: nothing in it (a probe)."""
    cdef uint16_t original
    cdef int i
    if p.length - p.payload < 2:
        drop(f, DROP_PROBE)
        return False
    if not t.payloads[payload.repairs].known:
        drop(f, DROP_PAYLOAD_TYPE)
        return False
    original = read16(p.data + p.payload)
    memmove(p.data + 2, p.data, p.payload)
    p.data += 2
    p.length -= 2
    p.sequence = original
    p.payload_type = payload.repairs
    p.ssrc = entry.stream.ssrc
    p.data[1] = <uint8_t>(p.marker << 7 | p.payload_type)
    write16(p.data + 2, original)
    write32(p.data + 8, p.ssrc)
    return True


cdef void receive_packet(forwarder_t *f, transport_t *t, stream_t *s, rtp_t *p, bint repaired) noexcept nogil:
    """One packet of a known stream: counted, cached, and put into the work of this batch."""
    cdef bint video = not s.audio
    cdef extension_t *e
    f.packets_in[video] += 1
    f.bytes_in[video] += p.length
    p.kind = t.payloads[p.payload_type].kind
    if not place_packet(f, s, p, repaired):
        return
    s.kind = p.kind
    s.clock = t.payloads[p.payload_type].clock
    s.packets += 1
    s.bytes += p.length - p.payload
    s.last_packet_us = f.now_us
    if repaired:
        s.repaired = p.sequence
        s.repaired_us = f.now_us
    else:
        s.received += 1
        measure_jitter(s, p.timestamp, f.arrived_us)
    if s.audio:
        e = find_extension(p, EXT_AUDIO_LEVEL)
        if e != NULL and e.length >= 1 and s.levels < 0x100000:
            s.levels += 1
            s.level_sum += p.data[e.offset] & 0x7F
    read_payload(p)
    if video:
        if p.kind == KIND_AV1 or p.kind == KIND_H264:
            read_layers(s, p)
        count_layer(s, p)
        if p.keyframe and goes_on_from(s, p):
            s.last_keyframe_us = f.now_us
        elif p.keyframe and s.follower_count:
            ask_keyframe(f, s)
    if not s.active:
        drop(f, DROP_INACTIVE)
        touch(f, s)                 # for what it finds missing
        return
    if s.gate != NULL and not pass_gate(f, s, p):
        touch(f, s)
        return
    if s.follower_count == 0:
        touch(f, s)
        return
    store(s, p)
    touch(f, s)
    if s.work_last < 0:
        s.work_first = f.work_count
    else:
        f.work[s.work_last].next = f.work_count
    s.work_last = f.work_count
    f.work_count += 1


cdef inline void touch(forwarder_t *f, stream_t *s) noexcept nogil:
    cdef bint video = not s.audio
    if s.touched:
        return
    s.touched = True
    s.work_first = -1
    s.work_last = -1
    s.next_touched = NULL
    if f.touched[video] == NULL:
        f.touched[video] = s
    else:
        f.last_touched[video].next_touched = s
    f.last_touched[video] = s


cdef inline bint in_window(stream_t *s, int64_t extended) noexcept nogil:
    return s.window[(extended & (WINDOW - 1)) >> 6] >> (extended & 63) & 1


cdef inline void mark(stream_t *s, int64_t extended) noexcept nogil:
    s.window[(extended & (WINDOW - 1)) >> 6] |= <uint64_t>1 << (extended & 63)


cdef void start_sequence(stream_t *s, int64_t extended) noexcept nogil:
    s.started = True
    s.highest = s.base = extended
    memset(s.window, 0, sizeof(s.window))
    s.received = s.expected_before = s.received_before = 0
    s.has_transit = False
    s.loss_from = s.loss_to = 0


cdef bint place_packet(forwarder_t *f, stream_t *s, rtp_t *p, bint repaired) noexcept nogil:
    """Extends the sequence number, tells duplicates and what is too old, notes what was skipped. False: dropped."""
    cdef int delta
    cdef int64_t i
    if not s.started:
        if repaired:
            drop(f, DROP_OLD)
            return False
        start_sequence(s, FIRST_EXTENDED + p.sequence)
        p.extended = s.highest
        mark(s, p.extended)
        return True
    delta = <int16_t>(p.sequence - <uint16_t>(s.highest & 0xFFFF))
    p.extended = s.highest + delta
    if delta > MAX_DROPOUT or delta <= -WINDOW:
        if repaired or not s.suspect or s.suspect_next != p.sequence:
            if not repaired:
                s.suspect = True
                s.suspect_next = p.sequence + 1
            drop(f, DROP_OLD)
            return False
        start_sequence(s, (s.highest | 0xFFFF) + 1 + p.sequence)    # two in a row: the sender started anew
        p.extended = s.highest
        interrupt(s)
    elif delta > 0:
        if delta >= WINDOW:
            memset(s.window, 0, sizeof(s.window))
        else:
            for i in range(s.highest + 1, p.extended):
                s.window[(i & (WINDOW - 1)) >> 6] &= ~(<uint64_t>1 << (i & 63))
        if delta > 1:
            if s.loss_to == 0:
                s.loss_from = s.highest + 1
            s.loss_to = p.extended
        s.highest = p.extended
    elif in_window(s, p.extended):
        drop(f, DROP_DUPLICATE)
        return False
    s.suspect = False
    mark(s, p.extended)
    return True


cdef void interrupt(stream_t *s) noexcept nogil:
    """What follows is not the continuation of what slots have sent of this stream."""
    cdef int i
    for i in range(s.follower_count):
        if s.followers[i].current == s:
            s.followers[i].resync = True


cdef void measure_jitter(stream_t *s, uint32_t timestamp, uint64_t arrived_us) noexcept nogil:
    """RFC 3550 A.8."""
    cdef uint32_t transit = <uint32_t>(arrived_us * s.clock // 1000000) - timestamp
    cdef int64_t d
    if s.has_transit:
        d = <int32_t>(transit - s.transit)
        if d < 0:
            d = -d
        s.jitter += <uint32_t>(min(d, <int64_t>0xFFFFFF) - ((s.jitter + 8) >> 4))
    s.transit = transit
    s.has_transit = True


cdef void record_arrival(forwarder_t *f, transport_t *t, uint16_t number) noexcept nogil:
    cdef arrival_t *a
    if t.arrivals == NULL:
        t.arrivals = <arrival_t *>malloc(MAX_ARRIVALS * sizeof(arrival_t))
        if t.arrivals == NULL:
            return
        t.last_number = FIRST_EXTENDED + number
    if t.arrival_count == MAX_ARRIVALS:
        drop(f, DROP_ARRIVAL_OVERFLOW)
        return
    t.last_number += <int16_t>(number - <uint16_t>(t.last_number & 0xFFFF))
    a = &t.arrivals[t.arrival_count]
    a.number = t.last_number
    a.at_us = f.arrived_us
    t.arrival_count += 1


cdef bint copy_name(rtp_t *p, uint8_t meaning, char *name) noexcept nogil:
    """Copies a MID or RID; one that is empty or too long counts as absent (False)."""
    cdef extension_t *e = find_extension(p, meaning)
    if e == NULL or e.length == 0 or e.length > NAME_BYTES:
        return False
    memcpy(name, p.data + e.offset, e.length)
    return True


cdef void report_unknown(forwarder_t *f, transport_t *t, ssrc_t *entry, rtp_t *p) noexcept nogil:
    cdef event_t *event
    cdef bint named = (
        find_extension(p, EXT_MID) != NULL or find_extension(p, EXT_RID) != NULL
        or find_extension(p, EXT_REPAIRED_RID) != NULL
    )
    drop(f, DROP_UNKNOWN_SSRC)
    if entry.reported_us and f.now_us - entry.reported_us < (UNKNOWN_NAMED_US if named else UNKNOWN_REPEAT_US):
        return
    event = new_event(f, EVENT_UNKNOWN_SSRC, t)
    if event == NULL:
        return
    entry.reported_us = f.now_us
    event.ssrc = p.ssrc
    event.payload_type = p.payload_type
    copy_name(p, EXT_MID, event.mid)
    copy_name(p, EXT_RID, event.rid)
    copy_name(p, EXT_REPAIRED_RID, event.repaired_rid)


cdef void store(stream_t *s, rtp_t *p) noexcept nogil:
    """Keeps the packet for retransmission; entry and bytes go round, so the newest stay."""
    cdef uint64_t room = AUDIO_CACHE_BYTES if s.audio else VIDEO_CACHE_BYTES
    cdef int entries = AUDIO_ENTRIES if s.audio else VIDEO_ENTRIES
    cdef uint64_t at = s.cache_written
    cdef cached_t *entry
    if s.cache == NULL:
        s.cached = <cached_t *>calloc(entries, sizeof(cached_t))
        s.cache = <uint8_t *>malloc(room)
        if s.cached == NULL or s.cache == NULL:
            drop_cache(s)
            return
    if at % room + p.length > room:
        at += room - at % room
    memcpy(s.cache + at % room, p.data, p.length)
    s.cache[at % room] &= 0xDF                  # without padding
    s.cache_written = at + p.length
    entry = &s.cached[p.extended & (entries - 1)]
    entry.extended = p.extended
    entry.at = at
    entry.length = <uint16_t>p.length
    entry.kind = p.kind
    entry.spatial = p.spatial
    entry.temporal = p.temporal
    entry.ends = p.ends


cdef void drop_cache(stream_t *s) noexcept nogil:
    free(s.cached)
    free(s.cache)
    s.cached = NULL
    s.cache = NULL
    s.cache_written = 0


cdef bint recall(stream_t *s, int64_t extended, rtp_t *p) noexcept nogil:
    """Reads the packet from the cache again. False: not there any more."""
    cdef uint64_t room = AUDIO_CACHE_BYTES if s.audio else VIDEO_CACHE_BYTES
    cdef int entries = AUDIO_ENTRIES if s.audio else VIDEO_ENTRIES
    cdef cached_t *entry
    if s.cache == NULL or s.transport == NULL:
        return False
    entry = &s.cached[extended & (entries - 1)]
    if entry.extended != extended or entry.at + room < s.cache_written:
        return False
    if not read_rtp(p, s.cache + entry.at % room, entry.length, s.transport.receive_map):
        return False
    p.kind = entry.kind
    p.extended = extended
    read_payload(p)
    p.spatial = entry.spatial
    p.temporal = entry.temporal
    p.ends = entry.ends
    return True
