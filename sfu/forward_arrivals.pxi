# Transport-wide feedback towards a publisher (draft-holmer-rmcat-transport-wide-cc-extensions-01): what of its numbered
# packets arrived, and when. `sfu.rtcp.transport_feedback` says the same in plain Python.

cdef enum:
    ARRIVALS_A_PACKET = 384
    MAX_GAP = 256                   # numbers between two arrivals of one packet; behind a larger gap the next begins
    MAX_SYMBOLS = ARRIVALS_A_PACKET + MAX_GAP
    MAX_ANSWER_BYTES = 1400
    SYMBOL_SMALL = 1
    SYMBOL_LARGE = 2


cdef struct symbols_t:
    int count
    uint8_t symbol[MAX_SYMBOLS]
    int delta_bytes
    uint8_t deltas[2 * ARRIVALS_A_PACKET]


cdef void sort_arrivals(transport_t *t) noexcept nogil:
    """Ascending, each number once, as it came first. They are nearly in order when they come."""
    cdef arrival_t a
    cdef int i, k, kept = 0
    for i in range(t.arrival_count):
        a = t.arrivals[i]
        k = kept
        while k > 0 and t.arrivals[k - 1].number > a.number:
            k -= 1
        if k > 0 and t.arrivals[k - 1].number == a.number:
            continue
        memmove(&t.arrivals[k + 1], &t.arrivals[k], (kept - k) * sizeof(arrival_t))
        t.arrivals[k] = a
        kept += 1
    t.arrival_count = kept


cdef int collect(transport_t *t, int index, int64_t base, int64_t ticks, symbols_t *s) noexcept nogil:
    """Symbols and deltas from arrival `index` on, as many as one packet takes; the index of the first left over."""
    cdef int64_t delta, gap
    s.count = s.delta_bytes = 0
    while index < t.arrival_count and s.count < ARRIVALS_A_PACKET:
        delta = <int64_t>(t.arrivals[index].at_us // TICK_US) - ticks
        gap = t.arrivals[index].number - base - s.count
        if not -0x8000 <= delta <= 0x7FFF or gap > MAX_GAP:
            break
        index += 1
        if gap < 0:
            continue                # reported before: as lost, or as it came first
        memset(s.symbol + s.count, 0, gap)
        s.count += <int>gap
        if 0 <= delta <= 255:
            s.symbol[s.count] = SYMBOL_SMALL
            s.deltas[s.delta_bytes] = <uint8_t>delta
            s.delta_bytes += 1
        else:
            s.symbol[s.count] = SYMBOL_LARGE
            write16(s.deltas + s.delta_bytes, <uint16_t>delta)
            s.delta_bytes += 2
        s.count += 1
        ticks += delta
    return index


cdef inline int run_length(const symbols_t *s, int index) noexcept nogil:
    cdef int run = 1
    while index + run < s.count and s.symbol[index + run] == s.symbol[index]:
        run += 1
    return run


cdef inline bint has_large(const symbols_t *s, int index) noexcept nogil:
    cdef int i
    for i in range(index, min(index + 14, s.count)):
        if s.symbol[i] == SYMBOL_LARGE:
            return True
    return False


cdef uint8_t *put_chunks(uint8_t *at, const symbols_t *s) noexcept nogil:
    """Runs where they pay, else vectors of 14 one-bit or 7 two-bit symbols."""
    cdef int index = 0, run, i, width, room
    cdef bint large
    cdef uint32_t chunk
    while index < s.count:
        run = run_length(s, index)
        large = has_large(s, index)
        if run >= 14 or run == s.count - index or (run >= 7 and large):
            chunk = <uint32_t>s.symbol[index] << 13 | <uint32_t>run
            index += run
        else:
            width = 2 if large else 1
            room = 14 // width
            chunk = 0xC000 if large else 0x8000
            for i in range(min(room, s.count - index)):
                chunk |= <uint32_t>s.symbol[index + i] << (14 - width - width * i)
            index += room
        write16(at, <uint16_t>chunk)
        at += 2
    return at


cdef uint8_t *put_feedback(uint8_t *data, transport_t *t, int *index, uint32_t sender, uint32_t media) noexcept nogil:
    """One feedback packet on arrivals from `index` on, which moves; returns its end."""
    cdef const arrival_t *first = &t.arrivals[index[0]]
    cdef int64_t base = first.number if not t.answered else min(t.next_number, first.number)
    cdef uint64_t reference = first.at_us // REFERENCE_US
    cdef uint8_t *at
    cdef symbols_t s
    cdef int padding
    base = max(base, first.number - MAX_GAP)
    index[0] = collect(t, index[0], base, <int64_t>(reference * (REFERENCE_US // TICK_US)), &s)
    t.answered = True
    t.next_number = base + s.count
    write32(data + 4, sender)
    write32(data + 8, media)
    write16(data + 12, <uint16_t>(base & 0xFFFF))
    write16(data + 14, <uint16_t>s.count)
    write32(data + 16, <uint32_t>((reference & 0xFFFFFF) << 8 | t.answers))
    t.answers += 1
    at = put_chunks(data + 20, &s)
    memcpy(at, s.deltas, s.delta_bytes)
    at += s.delta_bytes
    padding = <int>(-(at - data)) & 3
    if padding:
        memset(at, 0, padding - 1)
        at[padding - 1] = <uint8_t>padding
        at += padding
    data[0] = 0x80 | (0x20 if padding else 0) | FORMAT_TRANSPORT_CC
    data[1] = RTCP_TRANSPORT_LAYER
    write16(data + 2, <uint16_t>((at - data) // 4 - 1))
    return at
