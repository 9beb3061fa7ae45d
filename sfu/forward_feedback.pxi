# What the path to a receiver does: the packets sent to it, joined with its transport-wide feedback.
#
# draft-holmer-rmcat-transport-wide-cc-extensions-01; the delay filter is that of draft-ietf-rmcat-gcc-02 §5 with the
# line fit that libwebrtc puts in the Kalman filter's place. tests/sfu/path_model.py says the same in plain Python.
# Nothing is kept of a receiver that sends no feedback.

cdef enum:
    C_MIN_HISTORY = 256             # packets remembered of one transport (12 B each), a power of two ...
    C_MAX_HISTORY = 4096            # ... doubled while packets younger than this are overwritten without feedback:
    HISTORY_US = 2000000
    C_MAX_STATUSES = 8192           # packets one feedback may report on: sfu.rtcp.MAX_STATUSES
    C_MAX_COMPOUND = 64             # sfu.rtcp.MAX_PACKETS
    RTCP_TRANSPORT_LAYER = 205
    FORMAT_TRANSPORT_CC = 15
    TICK_US = 250
    REFERENCE_US = 64000
    WIRE_OVERHEAD = 28              # IPv4 and UDP
    BURST_US = 5000                 # packets sent within this are one group
    MAX_BURST_US = 100000
    MAX_DELTA_US = 3000000          # a larger change of delay is a change of clocks or path: the filter starts anew
    FIT = 20                        # groups in the line fit
    MIN_SAMPLE_US = 40000
    SAMPLES = 16                    # totals at past feedbacks, so far apart: rates are taken between them
    RATE_US = 400000
    RECENT_US = 120000
    BASE_US = 5000000               # the least delay is sought in one to two of these
    JUMP_US = 80000                 # a queue that is longer than this, in a whole feedback, and has grown by ...
    JUMP_RISE_US = 15000            # ... this since the feedback before, which found as much, is over-use without proof
    # Found once, it is a receiver that woke up late.
    FEEDBACK_US = 200000            # FEEDBACK events of a transport are at least so far apart, however much is lost ...
    URGENT_US = 50000               # ... and when over-use begins this far
    LOSSY_PACKETS = 3               # missed since the last report, of which an eighth is lost: it waits no longer
    PADDING_BYTES = 224             # of a packet of padding alone, as libwebrtc sends them
    MIN_PAD_BYTES = 200             # smaller packets are not repeated as padding
    MAX_PAD_PACKETS = 128           # by one `pad`

cdef enum:
    SENT_AUDIO
    SENT_VIDEO
    SENT_REPAIR
    SENT_PADDING

cdef enum:
    FATE_OPEN                       # no feedback yet
    FATE_MISSED
    FATE_RECEIVED

cdef enum:
    USE_NORMAL
    USE_OVER
    USE_UNDER


cdef struct sent_t:
    uint32_t at_us                  # low half
    uint16_t number
    uint16_t bytes                  # on the wire; 0: never used
    uint8_t sort
    uint8_t fate


cdef struct group_t:
    # Packets sent in one burst, draft-ietf-rmcat-gcc-02 §5.2.
    int64_t first_sent
    int64_t last_sent
    int64_t first_arrival
    int64_t last_arrival


cdef struct sample_t:
    int64_t at_us
    int64_t arrival_us
    uint64_t sent
    uint64_t acked


cdef struct cluster_t:
    # The packets sent between begin_probe and end_probe.
    bint open
    bint used
    uint16_t first
    uint16_t end                    # one past the last, once closed
    uint32_t received
    uint32_t missed
    uint64_t bytes
    int64_t first_sent
    int64_t last_sent
    int64_t first_arrival
    int64_t last_arrival
    uint32_t first_bytes            # of the first to arrive
    uint32_t last_bytes             # of the last sent


cdef struct path_t:
    sent_t *sent
    uint32_t room
    uint64_t sent_bytes             # since the first feedback, as acked_bytes
    uint64_t acked_bytes
    bint has_reference
    int32_t reference
    int64_t reference_us
    int64_t newest_arrival
    uint64_t newest_sent            # of those received
    uint32_t rtt_us                 # smoothed
    int64_t base_us[2]              # least arrival minus send time: of this span and the one before
    uint64_t base_from
    int64_t queue_us                # of the latest feedback: least delay above the base
    int64_t queue_before
    # The delay filter.
    bint has_group
    bint has_previous
    group_t group
    group_t previous
    uint32_t deltas
    double accumulated_ms
    double smoothed_ms
    int64_t fit_from
    double fit_time[FIT]
    double fit_delay[FIT]
    uint32_t fit_count
    double trend
    double threshold
    int64_t threshold_at
    double over_ms
    uint32_t over_count
    int use
    # Rates.
    sample_t samples[SAMPLES]
    uint32_t sample_count
    cluster_t probe
    # Since the last path_report.
    uint32_t feedbacks
    int64_t received
    int64_t missed
    uint64_t reported_acked
    uint64_t reported_sent
    bint overused
    bint moved                      # another pair was selected
    uint64_t moved_us
    bint told_over                  # the present over-use was reported to Python
    uint64_t feedback_us
    uint64_t told_us


cdef path_t *new_path(transport_t *t) noexcept nogil:
    cdef path_t *path = <path_t *>calloc(1, sizeof(path_t))
    if path == NULL:
        return NULL
    path.sent = <sent_t *>calloc(C_MIN_HISTORY, sizeof(sent_t))
    if path.sent == NULL:
        free(path)
        return NULL
    path.room = C_MIN_HISTORY
    restart_filter(path)
    t.path = path
    return path


cdef void drop_path(transport_t *t) noexcept nogil:
    if t.path != NULL:
        free(t.path.sent)
        free(t.path)
    t.path = NULL


cdef void move_path(path_t *path, uint64_t now_us) noexcept nogil:
    """Other addresses: what was learnt of delays is of another path."""
    restart_filter(path)
    path.base_from = 0
    path.queue_us = path.queue_before = 0
    path.sample_count = path.rtt_us = 0
    path.moved = True
    path.moved_us = now_us


cdef void grow_history(path_t *path) noexcept nogil:
    cdef uint32_t room = 2 * path.room, i
    cdef sent_t *grown = <sent_t *>calloc(room, sizeof(sent_t))
    if grown == NULL:
        return
    for i in range(path.room):
        grown[path.sent[i].number & (room - 1)] = path.sent[i]
    free(path.sent)
    path.sent = grown
    path.room = room


cdef inline void remember(transport_t *t, uint64_t now_us, uint16_t number, int length, uint8_t sort) noexcept nogil:
    """Notes a packet that leaves with this transport-wide number."""
    cdef path_t *path = t.path
    cdef sent_t *e
    if path == NULL:
        return
    e = &path.sent[number & (path.room - 1)]
    if (
        e.bytes and e.fate == FATE_OPEN and path.room < C_MAX_HISTORY
        and <uint32_t>now_us - e.at_us < <uint32_t>HISTORY_US
    ):
        grow_history(path)
        e = &path.sent[number & (path.room - 1)]
    e.at_us = <uint32_t>now_us
    e.number = number
    e.bytes = <uint16_t>(length + WIRE_OVERHEAD)
    e.sort = sort
    e.fate = FATE_OPEN
    path.sent_bytes += e.bytes


cdef inline void forget_sent(transport_t *t, uint16_t number) noexcept nogil:
    """This number leaves once more: when it arrives says nothing."""
    if t.path != NULL and t.path.sent[number & (t.path.room - 1)].number == number:
        t.path.sent[number & (t.path.room - 1)].bytes = 0


# Reading. A feedback is read twice: first whether it is one, then for what it says.


cdef struct feedback_t:
    uint16_t base
    int count
    int32_t reference               # signed 24 bit
    const uint8_t *chunks
    const uint8_t *deltas


cdef inline int chunk_symbols(uint16_t chunk) noexcept nogil:
    """How many statuses a packet status chunk holds, draft-holmer §3.1.3 and §3.1.4."""
    if not chunk & 0x8000:
        return chunk & 0x1FFF
    return 7 if chunk & 0x4000 else 14


cdef inline int chunk_symbol(uint16_t chunk, int i) noexcept nogil:
    if not chunk & 0x8000:
        return chunk >> 13
    if chunk & 0x4000:
        return chunk >> (12 - 2 * i) & 3
    return chunk >> (13 - i) & 1


cdef bint read_feedback(const uint8_t *body, int length, feedback_t *fb) noexcept nogil:
    """Reads the packet behind its common header, without padding. False: sfu.rtcp refuses it too."""
    cdef int offset = 16, seen = 0, needed = 0, i, n
    cdef uint16_t chunk
    if length < 16:
        return False
    fb.base = read16(body + 8)
    fb.count = read16(body + 10)
    fb.reference = <int32_t>read32(body + 12) >> 8
    if not 0 < fb.count <= C_MAX_STATUSES:
        return False
    fb.chunks = body + 16
    while seen < fb.count:
        if offset + 2 > length:
            return False
        chunk = read16(body + offset)
        offset += 2
        n = min(chunk_symbols(chunk), fb.count - seen)
        if not chunk & 0x8000:
            if chunk >> 13 == 3 and n:
                return False
            needed += n * (chunk >> 13)
        else:
            for i in range(n):
                if chunk_symbol(chunk, i) == 3:
                    return False
                needed += chunk_symbol(chunk, i)
        seen += n
    fb.deltas = body + offset
    return offset + needed <= length


cdef bint take_feedback(forwarder_t *f, transport_t *t, const uint8_t *body, int length) noexcept nogil:
    """Handles one feedback packet. False: it is none."""
    cdef feedback_t fb
    if not read_feedback(body, length, &fb):
        return False
    f.feedbacks += 1
    if t.path == NULL:
        if t.send_ids[EXT_TRANSPORT_SEQUENCE]:
            new_path(t)             # what is sent from now on can be joined
        return True
    apply_feedback(f, t, t.path, &fb)
    return True


cdef int take_transport_cc(forwarder_t *f, transport_t *t, uint8_t *data, int length) noexcept nogil:
    """Takes the transport-wide feedback out of a decrypted compound; returns the length of what is left for Python."""
    cdef int offset = 0, kept = 0, size, body, count = 0
    while offset < length:          # nothing is taken out of what is no compound
        count += 1
        if length - offset < 4 or count > C_MAX_COMPOUND or data[offset] >> 6 != 2:
            return length
        size = 4 + 4 * read16(data + offset + 2)
        if size > length - offset or (data[offset] & 0x20 and not 0 < data[offset + size - 1] <= size - 4):
            return length
        offset += size
    offset = 0
    while offset < length:
        size = 4 + 4 * read16(data + offset + 2)
        body = size - 4 - (data[offset + size - 1] if data[offset] & 0x20 else 0)
        if not (
            data[offset + 1] == RTCP_TRANSPORT_LAYER and data[offset] & 0x1F == FORMAT_TRANSPORT_CC
            and take_feedback(f, t, data + offset + 4, body)
        ):
            memmove(data + kept, data + offset, size)
            kept += size
        offset += size
    return kept


# Joining.


cdef void apply_feedback(forwarder_t *f, transport_t *t, path_t *path, feedback_t *fb) noexcept nogil:
    cdef const uint8_t *deltas = fb.deltas
    cdef const uint8_t *chunks = fb.chunks
    cdef int seen = 0, symbol, i, n
    cdef uint16_t chunk
    cdef int64_t arrival = reference_time(path, fb.reference)
    cdef int64_t least = (<int64_t>1) << 62
    cdef bint was_over = path.use == USE_OVER
    cdef uint64_t newest = 0
    while seen < fb.count:
        chunk = read16(chunks)
        chunks += 2
        n = min(chunk_symbols(chunk), fb.count - seen)
        for i in range(n):
            symbol = chunk_symbol(chunk, i)
            if symbol == 0:
                miss(path, <uint16_t>(fb.base + seen + i))
                continue
            arrival += TICK_US * (<int16_t>read16(deltas) if symbol == 2 else deltas[0])
            deltas += symbol
            join(f, path, <uint16_t>(fb.base + seen + i), arrival, &least, &newest)
        seen += n
    path.feedbacks += 1
    if newest:
        note_rtt(path, max(<int64_t>0, <int64_t>(f.arrived_us - newest)))
    if least < (<int64_t>1) << 62:
        note_queue(f, path, least)
    sample(f, path)
    if path.use == USE_OVER and not was_over:
        path.told_over = False
    tell(f, t, path)


cdef int64_t reference_time(path_t *path, int32_t reference) noexcept nogil:
    """The receiver's clock in us: its 24-bit reference time without wrap."""
    cdef int32_t step
    if not path.has_reference:
        path.has_reference = True
        path.reference_us = <int64_t>reference * REFERENCE_US
    else:
        step = <int32_t>(<uint32_t>(reference - path.reference) << 8) >> 8
        path.reference_us += <int64_t>step * REFERENCE_US
    path.reference = reference
    return path.reference_us


cdef inline sent_t *find_sent(path_t *path, uint16_t number) noexcept nogil:
    cdef sent_t *e = &path.sent[number & (path.room - 1)]
    return e if e.bytes and e.number == number else NULL


cdef inline bint in_cluster(const cluster_t *c, uint16_t number) noexcept nogil:
    if not c.used:
        return False
    return <int16_t>(number - c.first) >= 0 and (c.open or <int16_t>(number - c.end) < 0)


cdef void miss(path_t *path, uint16_t number) noexcept nogil:
    cdef sent_t *e = find_sent(path, number)
    if e == NULL or e.fate != FATE_OPEN:
        return
    e.fate = FATE_MISSED
    path.missed += 1
    if in_cluster(&path.probe, number):
        path.probe.missed += 1


cdef void join(
    forwarder_t *f, path_t *path, uint16_t number, int64_t arrival, int64_t *least, uint64_t *newest
) noexcept nogil:
    cdef sent_t *e = find_sent(path, number)
    cdef uint64_t sent
    if e == NULL or e.fate == FATE_RECEIVED:
        return
    if e.fate == FATE_MISSED:       # late
        path.missed -= 1
        if in_cluster(&path.probe, number) and path.probe.missed:
            path.probe.missed -= 1
    e.fate = FATE_RECEIVED
    path.received += 1
    path.acked_bytes += e.bytes
    sent = f.now_us - <uint32_t>(<uint32_t>f.now_us - e.at_us)
    if sent <= path.moved_us:
        return                      # it went the old way
    newest[0] = max(newest[0], sent)
    least[0] = min(least[0], arrival - <int64_t>sent)
    path.newest_arrival = max(path.newest_arrival, arrival) if path.sample_count else arrival
    if in_cluster(&path.probe, number):
        join_probe(&path.probe, <int64_t>sent, arrival, e.bytes)
    join_group(path, <int64_t>sent, arrival)


cdef void join_probe(cluster_t *c, int64_t sent, int64_t arrival, uint32_t size) noexcept nogil:
    if c.received == 0 or sent < c.first_sent:
        c.first_sent = sent
    if c.received == 0 or sent >= c.last_sent:
        c.last_sent = sent
        c.last_bytes = size
    if c.received == 0 or arrival < c.first_arrival:
        c.first_arrival = arrival
        c.first_bytes = size
    if c.received == 0 or arrival > c.last_arrival:
        c.last_arrival = arrival
    c.received += 1
    c.bytes += size


cdef inline void note_rtt(path_t *path, int64_t rtt) noexcept nogil:
    path.rtt_us = <uint32_t>(rtt if path.rtt_us == 0 else (7 * <int64_t>path.rtt_us + rtt) >> 3)


cdef void note_queue(forwarder_t *f, path_t *path, int64_t least) noexcept nogil:
    """How much longer than the least of the last 5 to 10 s the quickest packet of this feedback was on its way."""
    cdef int64_t base
    if path.base_from == 0:
        path.base_from = f.now_us
        path.base_us[0] = path.base_us[1] = least
    elif f.now_us - path.base_from >= BASE_US:
        path.base_from = f.now_us
        path.base_us[1] = path.base_us[0]
        path.base_us[0] = least
    path.base_us[0] = min(path.base_us[0], least)
    base = min(path.base_us[0], path.base_us[1])
    path.queue_before = path.queue_us
    path.queue_us = least - base
    if path.queue_us > MAX_DELTA_US:            # another clock
        path.base_us[0] = path.base_us[1] = least
        path.queue_us = path.queue_before = 0
    if path.queue_us >= JUMP_US and path.queue_us - path.queue_before >= JUMP_RISE_US <= path.queue_before:
        begin_over(path)


cdef void sample(forwarder_t *f, path_t *path) noexcept nogil:
    cdef sample_t *last = &path.samples[(path.sample_count - 1) % SAMPLES] if path.sample_count else NULL
    if last == NULL or f.now_us - last.at_us >= MIN_SAMPLE_US:
        last = &path.samples[path.sample_count % SAMPLES]
        path.sample_count += 1
    else:
        return
    last.at_us = f.now_us
    last.arrival_us = path.newest_arrival
    last.sent = path.sent_bytes
    last.acked = path.acked_bytes


cdef void tell(forwarder_t *f, transport_t *t, path_t *path) noexcept nogil:
    """A FEEDBACK event, when one is due."""
    cdef uint64_t passed = f.now_us - path.told_us
    cdef bint lossy = path.missed >= LOSSY_PACKETS and 8 * path.missed > path.received
    cdef bint urgent = path.overused and not path.told_over and passed >= URGENT_US
    urgent = urgent or (lossy and passed >= FEEDBACK_US)
    if not urgent and passed < (path.feedback_us if path.feedback_us else <uint64_t>FEEDBACK_US):
        return
    if new_event(f, EVENT_FEEDBACK, t) != NULL:
        path.told_us = f.now_us
        path.told_over = path.told_over or path.overused


# Rates.


cdef void rates(path_t *path, int64_t span_us, double *acked_bps, double *sent_bps) noexcept nogil:
    """Wire bits a second of the last span between feedbacks, by the receiver's clock and ours; 0 unknown."""
    cdef sample_t *last
    cdef sample_t *first = NULL
    cdef uint32_t age
    acked_bps[0] = sent_bps[0] = 0
    if path.sample_count < 2:
        return
    last = &path.samples[(path.sample_count - 1) % SAMPLES]
    for age in range(1, min(path.sample_count, <uint32_t>SAMPLES)):
        first = &path.samples[(path.sample_count - 1 - age) % SAMPLES]
        if last.at_us - first.at_us >= span_us:
            break
    if last.at_us > first.at_us:
        sent_bps[0] = (last.sent - first.sent) * 8e6 / (last.at_us - first.at_us)
    if last.arrival_us > first.arrival_us:
        acked_bps[0] = (last.acked - first.acked) * 8e6 / (last.arrival_us - first.arrival_us)


cdef double cluster_rate(uint64_t bytes, uint32_t less, int64_t first, int64_t last) noexcept nogil:
    """Bits a second between the first and the last packet, one of them not counted; 0 within a millisecond."""
    return (bytes - less) * 8e6 / (last - first) if last - first >= 1000 else 0.0
