"""Messages as the packet path reads and writes them: the look of STUN, and Data indications (RFC 8656 §11.4)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from turnd.turn.relay_table cimport is_ipv4, path_t
from wire.udp cimport endpoint_t, packet_t, turnd_mix


cdef inline uint32_t read16(const uint8_t *data) noexcept nogil:
    return (<uint32_t>data[0] << 8) | data[1]


cdef inline uint32_t read32(const uint8_t *data) noexcept nogil:
    return (read16(data) << 16) | read16(data + 2)


cdef inline void write16(uint8_t *data, uint32_t value) noexcept nogil:
    data[0] = <uint8_t>(value >> 8)
    data[1] = <uint8_t>value


cdef inline bint is_stun(const uint8_t *data, uint32_t length) noexcept nogil:
    return (
        length >= 20
        and data[0] <= 3
        and read32(data + 4) == <uint32_t>0x2112A442
        and read16(data + 2) + 20 == length
        and (length & 3) == 0
    )


cdef inline uint32_t indication_length(const endpoint_t *peer, uint32_t length) noexcept nogil:
    return 20 + (12 if is_ipv4(peer) else 24) + 4 + ((length + 3) & ~<uint32_t>3)


cdef inline void write_indication(path_t *path, uint8_t *out, const packet_t *packet) noexcept nogil:
    """A Data indication (RFC 8656 §11.4): XOR-PEER-ADDRESS, then DATA with zero padding."""
    cdef uint32_t total = indication_length(&packet.source, packet.length)
    cdef uint32_t padded = (packet.length + 3) & ~<uint32_t>3
    cdef uint8_t address[16]
    cdef uint64_t half
    cdef int skip, size, i
    write16(out, 0x0017)
    write16(out + 2, total - 20)
    write16(out + 4, 0x2112)
    write16(out + 6, 0xA442)
    path.sequence += 1
    half = turnd_mix(path.sequence, path.seed)
    memcpy(out + 8, &half, 8)
    half = turnd_mix(half, ~path.seed)
    memcpy(out + 16, &half, 4)
    skip = 12 if is_ipv4(&packet.source) else 0
    size = 16 - skip
    memcpy(address, &packet.source.high, 8)
    memcpy(address + 8, &packet.source.low, 8)
    out += 20
    write16(out, 0x0012)
    write16(out + 2, <uint32_t>size + 4)
    write16(out + 4, 1 if skip else 2)
    write16(out + 6, packet.source.port ^ 0x2112)
    for i in range(size):
        out[8 + i] = address[skip + i] ^ (out - 16)[i]      # the cookie and the transaction id stand there
    out += 8 + size
    write16(out, 0x0013)
    write16(out + 2, packet.length)
    memcpy(out + 4, packet.data, packet.length)
    memset(out + 4 + packet.length, 0, padded - packet.length)
