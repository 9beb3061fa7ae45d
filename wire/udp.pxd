"""What the compiled packet paths share: endpoints, batches of datagrams, sockets that send and receive them.

Everything marked ``nogil`` touches no Python object. One event loop owns all of it: no locks.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef struct endpoint_t:
    # An IP address and port. IPv4 is held as ::ffff:a.b.c.d. `high` and `low` are the sixteen address bytes as they
    # stand in memory (network order); `port` is in host order. All zero: unspecified.
    uint64_t high
    uint64_t low
    uint16_t port


cdef struct packet_t:
    # One received datagram (GRO runs are already split). The `length` bytes at `data` may be overwritten in place, and
    # shrunk (SRTP unprotect). The UDP_TAILROOM bytes behind them may be read, never written: in a GRO run the next
    # datagram begins there. To grow a datagram, copy it (udp_reserve). No alignment is promised. All of it lives until
    # the receive function returns.
    uint8_t *data
    uint32_t length
    endpoint_t source
    endpoint_t local                # the address of ours it was sent to, with our port
    uint64_t arrived_us             # by `monotonic_us`: when it was taken, or (`timed`) when the kernel had it


cdef enum:
    UDP_MAX_PAYLOAD = 65507
    UDP_TAILROOM = 64


# Handles `count` datagrams of one batch, in order of arrival, those of one sender mostly adjacent.
ctypedef void (*receive_fn)(void *context, packet_t *packets, int count) noexcept nogil

cdef struct icmp_t:
    # What the network said of a datagram that a socket sent to `remote` (RFC 792, RFC 4443).
    endpoint_t remote
    uint8_t type
    uint8_t code
    uint32_t mtu                    # of "fragmentation needed" and "packet too big", else 0


# Handles one such message.
ctypedef void (*icmp_fn)(void *context, const icmp_t *message) noexcept nogil

cdef struct socket_t                # private to udp.pyx; lives as long as its UdpSocket, open or closed
cdef struct queue_t                 # private to udp.pyx


cdef class Receiver:
    """Base of what handles a socket's datagrams.

    A subclass sets `receive` and `context` in `__cinit__`. `receive` runs without the GIL; it may `keep` a datagram for
    Python. After each drain in which it did so, or called `wake`, `dispatch` runs once with the GIL.
    """
    cdef receive_fn receive
    cdef icmp_fn receive_icmp       # may be NULL: its sockets then hear no ICMP
    cdef void *context
    cdef bint any_local             # packets need not tell which address of ours they were sent to
    cdef bint timed                 # packets tell since when they waited for us, at some 4 % of what receiving costs
    cdef queue_t *kept              # private: datagrams kept for Python
    cdef bint touched               # private: dispatch is due
    cdef void *next_touched         # private
    cdef bint keep(self, const packet_t *packet, int tag) noexcept nogil      # False: the bound was reached, counted
    cdef list take(self)            # [(tag, data: bytes, source: (host, port), local: (host, port), arrived: s), ...]
    # Gives the same to respond(list), and sends what it returns: for each datagram, in order, bytes (no more than a
    # datagram holds) to where it came from, or None. Only in `dispatch`.
    cdef object answer(self, socket_t *handle, respond)
    cdef void wake(self) noexcept nogil
    cdef object dispatch(self)


cdef class UdpSocket:
    cdef socket_t *handle
    cdef readonly Receiver receiver
    cdef object _poller             # private
    cdef readonly str component
    cdef object __weakref__


# Sending. Reserve, write the datagram (it must stay contiguous), commit; repeat; flush. Consecutive commits on one
# socket to one remote of equal length (the last may be shorter) leave as one GSO send. A datagram whose remote is one
# of our own addresses and an open port of ours never reaches the kernel: that socket's receiver gets it after this
# batch.
cdef uint8_t *udp_reserve(int size) noexcept nogil                  # never NULL for size <= UDP_MAX_PAYLOAD
cdef void udp_commit(socket_t *handle, const endpoint_t *remote, const endpoint_t *local, int length) noexcept nogil
cdef void udp_flush() noexcept nogil                                # drains call it; Python-driven senders must
# Nothing else may reserve, commit or flush between a reserve and its commit. A commit counts its drop and never fails.
# A datagram that may not be fragmented on its way: udp_dont_fragment, commit it, flush, and off again.
# `local`: source address to use (the alias of ours the flow was addressed to), or NULL for the socket's own choice.

cdef void udp_dont_fragment(socket_t *handle, bint on) noexcept nogil   # for all that the socket sends

cdef uint64_t monotonic_us() noexcept nogil                         # CLOCK_MONOTONIC, the clock of loop.time()

cdef int endpoint_from_python(object address, endpoint_t *result) except -1     # ("192.0.2.1", 5000) -> endpoint
cdef object endpoint_to_python(const endpoint_t *endpoint)                      # -> ("192.0.2.1", 5000)

cdef inline bint endpoint_equal(const endpoint_t *a, const endpoint_t *b) noexcept nogil:
    return a.high == b.high and a.low == b.low and a.port == b.port

cdef extern from *:
    """
    #include <stdint.h>
    /* Keyed by a random seed of the process, so that a peer cannot choose colliding addresses. */
    static inline uint64_t turnd_mix(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t)(a ^ 0x9E3779B97F4A7C15ULL) * (b ^ 0xD6E8FEB86659FD93ULL);
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t turnd_mix(uint64_t a, uint64_t b) noexcept nogil

cdef inline uint64_t endpoint_hash(const endpoint_t *endpoint, uint64_t seed) noexcept nogil:
    # No factor is a peer's choice alone: one that is zero would make all hashes equal.
    cdef uint64_t host = turnd_mix(endpoint.high ^ seed, endpoint.low ^ (seed << 32 | seed >> 32))
    return turnd_mix(host, endpoint.port ^ (seed << 1))
