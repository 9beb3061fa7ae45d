# Part of udp.pyx: its bounds, counters and structures, the state of the process, endpoints and queues.

cdef enum:
    BATCH = 64                          # datagrams (or GRO runs) in one system call
    MAX_ROUNDS = 8                      # of recvmmsg in one drain, of delivery in memory in one turn
    MAX_DRAINS = 8                      # one after another in a turn of the loop
    MIN_BATCH = 8                       # so few at once where each takes long: many receivers are sent copies of it
    LONG_BATCH_US = 10000               # a socket's batches become smaller above this, larger below a quarter of it
    MAX_DRAIN_US = 10000                # then the loop has its turn, whatever still waits
    MAX_PACKETS = 256                   # handed to `receive` at once
    MAX_COMMITTED = 256                 # messages between two flushes
    RECEIVE_BYTES = 65536               # the longest datagram or GRO run
    ARENA_BYTES = 256 * 1024            # datagrams between two flushes
    MAX_GSO_SEGMENTS = 64
    MAX_GSO_BYTES = 65000
    SAFE_SEGMENT_BYTES = 1200           # fits any path: if even this is refused, GSO itself is
    MAX_QUEUE_BYTES = 1024 * 1024       # waiting for room in one socket's send buffer
    MAX_QUEUE_AGE_US = 200_000          # media older than this is worth nothing
    MAX_MEMORY_DATAGRAMS = 4096         # waiting for delivery in memory, all sockets together
    MAX_MEMORY_BYTES = 4 * 1024 * 1024
    MAX_KEPT_DATAGRAMS = 1024           # waiting for one receiver's dispatch
    MAX_KEPT_BYTES = 2 * 1024 * 1024
    MAX_OWN_ADDRESSES = 256
    SEND_BUFFER_BYTES = 2 * 1024 * 1024
    CONTROL_WORDS = 20                  # uint64_t, for their alignment
    CONTROL_BYTES = 160
    MAX_WAIT_US = 2_000_000             # of a datagram in a socket's buffer; beyond that the wall clock was set
    MAX_ICMP_AT_ONCE = 16               # read of one socket before its datagrams

cdef enum:
    DATAGRAMS_IN
    BYTES_IN
    DATAGRAMS_OUT
    BYTES_OUT
    MEMORY_IN
    MEMORY_OUT
    GSO_SENDS
    RING_OUT
    GRO_RECEIVES
    OVERFLOW
    RECEIVE_ERRORS
    DROPPED_TRUNCATED
    DROPPED_OVERSIZE
    DROPPED_ADDRESS
    DROPPED_UNREACHABLE
    DROPPED_REFUSED
    DROPPED_FORBIDDEN
    DROPPED_QUEUE_FULL
    DROPPED_QUEUE_AGE
    DROPPED_MEMORY_FULL
    DROPPED_KEPT_FULL
    DROPPED_CLOSED
    DROPPED_OTHER
    COUNTERS

COUNTER_NAMES = (
    "datagrams_in", "bytes_in", "datagrams_out", "bytes_out", "memory_in", "memory_out", "gso_sends", "ring_out",
    "gro_receives", "overflow", "receive_errors", "dropped_truncated", "dropped_oversize", "dropped_address",
    "dropped_unreachable", "dropped_refused", "dropped_forbidden", "dropped_queue_full", "dropped_queue_age",
    "dropped_memory_full", "dropped_kept_full", "dropped_closed", "dropped_other")


cdef struct datagram_t:
    # A datagram, or a GSO run of `segments` of them, each `segment` bytes but for the last. Committed: its data is in
    # the arena. Waiting in a send queue, in memory or for Python: its data is behind this header, with UDP_TAILROOM.
    datagram_t *next
    socket_t *socket                    # the receiving one, when in memory
    uint8_t *data
    uint32_t length
    uint32_t segment
    uint32_t segments
    uint32_t charged_bytes              # to the queue it is in
    int tag
    uint64_t queued_at_us
    uint64_t arrived_us                 # when kept
    endpoint_t remote                   # where to; where from, when in memory or kept
    endpoint_t local

cdef struct queue_t:
    datagram_t *head
    datagram_t *tail
    uint32_t count
    size_t bytes

cdef struct socket_t:
    int fd                              # -1: closed
    bint v6
    bint wildcard
    bint timed                          # the kernel tells when it had each
    uint32_t gso_limit                  # longest segment believed to pass with GSO, 0: none
    endpoint_t bound
    endpoint_t announced                # zero: none
    int poller                          # epoll of its loop
    receive_fn receive
    icmp_fn receive_icmp
    void *context
    void *receiver                      # Receiver, kept alive by the owner
    queue_t waiting                     # for the kernel's send buffer
    datagram_t *committed               # since the last flush, oldest first
    datagram_t *last_committed
    socket_t *next_committed            # list of the sockets in this batch, in the order of their first datagrams
    socket_t *next_on_port
    bint writer_wanted                  # EPOLLOUT is asked for
    int batch                           # datagrams (or GRO runs) to take at once, BATCH at most
    uint32_t overflow_seen
    uint64_t counters[COUNTERS]
    uint64_t *component_counters


cdef mmsghdr in_headers[BATCH]
cdef iovec in_vectors[BATCH]
cdef sockaddr_in6 in_names[BATCH]
cdef uint64_t in_controls[BATCH][CONTROL_WORDS]
cdef packet_t packets[MAX_PACKETS]
cdef socket_t *receiving = NULL         # whose packets are being handled: `keep` counts there

cdef epoll_event ready_events[BATCH]

cdef mmsghdr out_headers[BATCH]
cdef iovec out_vectors[BATCH]
cdef sockaddr_in6 out_names[BATCH]
cdef uint64_t out_controls[BATCH][CONTROL_WORDS]
cdef uint8_t arena[ARENA_BYTES]
cdef uint32_t arena_used = 0
cdef datagram_t committed[MAX_COMMITTED]
cdef int committed_count = 0
cdef socket_t *committed_sockets = NULL
cdef socket_t *last_committed_socket = NULL     # while there are any

cdef queue_t in_memory
cdef socket_t *sockets_on_port[2][65536]        # [IPv6?][port]
cdef endpoint_t own_endpoints[MAX_OWN_ADDRESSES]
cdef int own_count = 0

cdef void *touched_receivers = NULL
cdef uint64_t uncounted[COUNTERS]       # for a socket that never came to have a component
cdef bint gso_allowed = True
cdef bint ring_usable = False           # see uring.pxd
cdef socket_t *ring_sockets[URING_ENTRIES]
cdef datagram_t *ring_datagrams[URING_ENTRIES]
cdef bint draining = False              # a drain or settle is running and will see to what is left
cdef bint settle_scheduled = False
cdef object _loop = None
cdef object _own_addresses = frozenset()
cdef dict _components = {}              # name -> address of its counters; as many as there are names in our code
cdef uint32_t V4_PREFIX = htonl(0xFFFF)     # what stands before an IPv4 address in an endpoint's `low`


cdef inline void count(socket_t *s, int counter, uint64_t number) noexcept nogil:
    s.counters[counter] += number
    s.component_counters[counter] += number


cdef uint64_t clock_us(clockid_t clock) noexcept nogil:
    cdef timespec_t now
    clock_gettime(clock, &now)
    return to_microseconds(&now)


cdef inline uint64_t to_microseconds(const timespec_t *time) noexcept nogil:
    return <uint64_t>time.tv_sec * 1_000_000 + time.tv_nsec // 1000


cdef uint64_t monotonic_us() noexcept nogil:
    return clock_us(CLOCK_MONOTONIC)


cdef inline void endpoint_from_bytes(endpoint_t *e, const void *address, bint v6, uint16_t port) noexcept nogil:
    cdef uint8_t *low = <uint8_t *>&e.low
    e.port = port
    if v6:
        memcpy(&e.high, address, 8)
        memcpy(low, <const uint8_t *>address + 8, 8)
    else:
        e.high = 0
        memcpy(low, &V4_PREFIX, 4)
        memcpy(low + 4, address, 4)


cdef inline bint is_v6(const endpoint_t *e) noexcept nogil:
    return e.high != 0 or memcmp(&e.low, &V4_PREFIX, 4) != 0


cdef inline bint same_address(const endpoint_t *a, const endpoint_t *b) noexcept nogil:
    return a.high == b.high and a.low == b.low


cdef inline bint is_specified(const endpoint_t *e) noexcept nogil:
    return e.low != 0 or e.high != 0


cdef inline bint is_wildcard(const endpoint_t *e) noexcept nogil:
    cdef const uint8_t *v4 = <const uint8_t *>&e.low + 4
    return (v4[0] | v4[1] | v4[2] | v4[3]) == 0 and (not is_v6(e) or not is_specified(e))


cdef int endpoint_from_python(object address, endpoint_t *result) except -1:
    """ValueError unless `address` is (IP address, port)."""
    cdef uint8_t raw[16]
    host, port = address
    if not 0 <= port <= 65535:
        raise ValueError(f"not a port: {port}")
    text = host.encode()
    if b"\0" in text:
        raise ValueError(f"not an IP address: {host!r}")
    if inet_pton(AF_INET, text, raw) == 1:
        endpoint_from_bytes(result, raw, False, port)
    elif inet_pton(AF_INET6, text, raw) == 1:
        endpoint_from_bytes(result, raw, True, port)
    else:
        raise ValueError(f"not an IP address: {host!r}")
    return 0


cdef object endpoint_to_python(const endpoint_t *endpoint):
    cdef char text[INET6_ADDRSTRLEN]
    if is_v6(endpoint):
        inet_ntop(AF_INET6, endpoint, text, sizeof(text))
    else:
        inet_ntop(AF_INET, <const uint8_t *>&endpoint.low + 4, text, sizeof(text))
    return (<bytes>text).decode("ascii"), endpoint.port


cdef datagram_t *copy_datagram(const uint8_t *data, uint32_t length) noexcept nogil:
    """One datagram on the heap with a copy of `data`; NULL without memory."""
    cdef datagram_t *d = <datagram_t *>malloc(sizeof(datagram_t) + length + UDP_TAILROOM)
    if d != NULL:
        d.data = <uint8_t *>(d + 1)
        d.length = d.segment = length
        d.segments = 1
        memcpy(d.data, data, length)
    return d


cdef void append(queue_t *queue, datagram_t *d) noexcept nogil:
    d.next = NULL
    if queue.head == NULL:
        queue.head = d
    else:
        queue.tail.next = d
    queue.tail = d
    queue.count += 1
    d.charged_bytes = d.length
    queue.bytes += d.charged_bytes


cdef datagram_t *pop(queue_t *queue) noexcept nogil:
    """The oldest, now the caller's to free; the queue must not be empty."""
    cdef datagram_t *d = queue.head
    queue.head = d.next
    queue.count -= 1
    queue.bytes -= d.charged_bytes      # a run may have been sent in part since
    return d


cdef void clear(queue_t *queue) noexcept nogil:
    while queue.head != NULL:
        free(pop(queue))
