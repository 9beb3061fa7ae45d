# Sender reports of a transport's slots (RFC 3550 §6.4.1, §6.5), several in one compound (RFC 8108 §5.3).

cdef enum:
    SR = 200
    SDES = 202
    REPORT_BYTES = 28               # an SR without report blocks
    MAX_COMPOUND_BYTES = 1200
    MAX_CHUNKS = 31                 # of one SDES: its count has five bits


cdef inline uint64_t ntp_of(uint64_t now_us) noexcept nogil:
    """NTP time, 32.32 fixed point, of the monotonic clock."""
    cdef uint64_t us = now_us + ntp_offset_us
    return (us // 1000000) << 32 | ((us % 1000000) << 32) // 1000000


cdef inline bint reports(slot_t *slot) noexcept nogil:
    """Whether it has sent and carries something."""
    return slot.packets > 0 and slot.current != NULL


cdef uint32_t rtp_time(slot_t *slot, uint64_t ntp, uint64_t now_us) noexcept nogil:
    """The slot's timestamp now: by the publisher's report where there is one, so that lips stay in sync."""
    cdef stream_t *s = slot.current
    cdef epoch_t *e = slot.epoch
    cdef int64_t elapsed
    if s == e.stream and s.has_report and s.transport.has_clock_offset:
        elapsed = <int64_t>(ntp - <uint64_t>s.transport.clock_offset - s.report_ntp)
        elapsed = (elapsed >> 32) * s.clock + (<int64_t>(<uint32_t>elapsed * <uint64_t>s.clock >> 32))
        return <uint32_t>(s.report_timestamp + elapsed + e.timestamp)
    return <uint32_t>(slot.last_timestamp + <int64_t>(now_us - slot.last_us) * <int64_t>s.clock // 1000000)


cdef uint8_t *put_report(uint8_t *at, slot_t *slot, uint64_t ntp, uint64_t now_us) noexcept nogil:
    at[0] = 0x80
    at[1] = SR
    write16(at + 2, REPORT_BYTES // 4 - 1)
    write32(at + 4, slot.ssrc)
    write32(at + 8, <uint32_t>(ntp >> 32))
    write32(at + 12, <uint32_t>ntp)
    write32(at + 16, rtp_time(slot, ntp, now_us))
    write32(at + 20, <uint32_t>slot.packets)
    write32(at + 24, <uint32_t>slot.bytes)
    return at + REPORT_BYTES


cdef inline int chunk_bytes(slot_t *slot) noexcept nogil:
    """SSRC, CNAME item, and one to four zeros up to the next word."""
    return (6 + slot.cname_length) // 4 * 4 + 4


cdef uint8_t *put_chunk(uint8_t *at, slot_t *slot) noexcept nogil:
    cdef int size = chunk_bytes(slot)
    memset(at, 0, size)
    write32(at, slot.ssrc)
    at[4] = 1                       # CNAME
    at[5] = slot.cname_length
    memcpy(at + 6, slot.cname, slot.cname_length)
    return at + size


cdef int put_compound(uint8_t *data, slot_t **slots, int count, uint64_t now_us) noexcept nogil:
    """All reports, then the names of all; returns the length."""
    cdef uint64_t ntp = ntp_of(now_us)
    cdef uint8_t *at = data
    cdef uint8_t *names
    cdef int i
    for i in range(count):
        at = put_report(at, slots[i], ntp, now_us)
    names = at
    at += 4
    for i in range(count):
        at = put_chunk(at, slots[i])
    names[0] = <uint8_t>(0x80 | count)
    names[1] = SDES
    write16(names + 2, <uint16_t>((at - names) // 4 - 1))
    return <int>(at - data)
