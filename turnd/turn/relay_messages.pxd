"""Messages as the packet path reads and writes them: the look of STUN, and Data indications (RFC 8656 §11.4, §11.5)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from turnd.turn.relay_table cimport is_ipv4, path_t
from wire.udp cimport endpoint_t, icmp_t, packet_t

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *buffer, size_t length, unsigned int flags)


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
    """Bytes of a Data indication whose second attribute has `length` bytes."""
    return 20 + (12 if is_ipv4(peer) else 24) + 4 + ((length + 3) & ~<uint32_t>3)


cdef inline void write_transaction_id(path_t *path, uint8_t *out) noexcept nogil:
    """Twelve bytes of the kernel's random numbers, which are asked for by the page (RFC 8489 §5)."""
    cdef ssize_t got
    if path.random_left < 12:
        path.random_left = 0
        while path.random_left < <int>sizeof(path.random):
            got = getrandom(path.random + path.random_left, sizeof(path.random) - path.random_left, 0)
            if got > 0:
                path.random_left += <int>got
    path.random_left -= 12
    memcpy(out, path.random + path.random_left, 12)


cdef inline uint8_t *begin_indication(
        path_t *path, uint8_t *out, const endpoint_t *peer, uint32_t kind, uint32_t length) noexcept nogil:
    """Header, XOR-PEER-ADDRESS, and the head of an attribute of that kind and length; returns where its value goes."""
    cdef uint8_t address[16]
    cdef int skip, size, i
    write16(out, 0x0017)
    write16(out + 2, indication_length(peer, length) - 20)
    write16(out + 4, 0x2112)
    write16(out + 6, 0xA442)
    write_transaction_id(path, out + 8)
    skip = 12 if is_ipv4(peer) else 0
    size = 16 - skip
    memcpy(address, &peer.high, 8)
    memcpy(address + 8, &peer.low, 8)
    out += 20
    write16(out, 0x0012)
    write16(out + 2, <uint32_t>size + 4)
    write16(out + 4, 1 if skip else 2)
    write16(out + 6, peer.port ^ 0x2112)
    for i in range(size):
        out[8 + i] = address[skip + i] ^ (out - 16)[i]      # the cookie and the transaction id stand there
    out += 8 + size
    write16(out, kind)
    write16(out + 2, length)
    return out + 4


cdef inline void write_indication(path_t *path, uint8_t *out, const packet_t *packet) noexcept nogil:
    """A peer's datagram: DATA with zero padding (RFC 8656 §11.4)."""
    out = begin_indication(path, out, &packet.source, 0x0013, packet.length)
    memcpy(out, packet.data, packet.length)
    memset(out + packet.length, 0, -packet.length & 3)


cdef inline bint is_relayed_icmp(const icmp_t *message) noexcept nogil:
    """Destination unreachable and time exceeded, and ICMPv6's packet too big (RFC 8656 §11.5)."""
    if is_ipv4(&message.remote):
        return message.type == 3 or message.type == 11
    return 1 <= message.type <= 3


cdef inline void write_icmp_indication(path_t *path, uint8_t *out, const icmp_t *message) noexcept nogil:
    """What the network said of a datagram: ICMP, seven bits of type, nine of code, an MTU (RFC 8656 §11.5, §18.13)."""
    out = begin_indication(path, out, &message.remote, 0x8004, 8)
    write16(out, 0)
    write16(out + 2, <uint32_t>message.type << 9 | message.code)
    write16(out + 4, message.mtu >> 16)
    write16(out + 6, message.mtu)
