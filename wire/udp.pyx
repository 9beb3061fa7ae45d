"""UDP sockets in batches: recvmmsg and GRO in, sendmmsg and GSO out, and delivery in memory between our own ports.

One drain of a readable socket is: up to MAX_ROUNDS times recvmmsg -> the receiver's `receive` -> flush; then the
datagrams that are for ourselves, which never reach the kernel; all of that without the GIL. Then `dispatch` of every
receiver that was touched. What is left of the work in memory goes to the loop's next turn.

The batch buffers, the queue in memory and the port table belong to the process: one event loop, one thread, no locks.
A `socket_t` belongs to its `UdpSocket` and lives as long. Counted once each: a datagram that the kernel took is in
`datagrams_out`, one handed over in memory in `memory_out`, every other one in exactly one of the `dropped_` reasons.
"""

import socket

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport (
    EACCES, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, EINTR, EINVAL, EIO, EMSGSIZE,
    ENETDOWN, ENETUNREACH, ENOBUFS, ENOMEM, EPERM, errno)
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime
from posix.time cimport timespec as timespec_t

from wire.linux_udp cimport *

cdef enum:
    BATCH = 64                          # datagrams (or GRO runs) in one system call
    MAX_ROUNDS = 8                      # of recvmmsg in one drain, of delivery in memory in one turn
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
    CONTROL_WORDS = 16                  # uint64_t, for their alignment
    CONTROL_BYTES = 128
    IP_MTU_DISCOVER = 10                # what the socket module lacks: linux/in.h, linux/in6.h, asm/socket.h
    IP_PMTUDISC_OMIT = 5
    IPV6_MTU_DISCOVER = 23
    IPV6_PMTUDISC_DONT = 0
    SO_SNDBUFFORCE = 32
    SO_RCVBUFFORCE = 33

cdef enum:
    DATAGRAMS_IN
    BYTES_IN
    DATAGRAMS_OUT
    BYTES_OUT
    MEMORY_IN
    MEMORY_OUT
    GSO_SENDS
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
    "datagrams_in", "bytes_in", "datagrams_out", "bytes_out", "memory_in", "memory_out", "gso_sends", "gro_receives",
    "overflow", "receive_errors", "dropped_truncated", "dropped_oversize", "dropped_address", "dropped_unreachable",
    "dropped_refused", "dropped_forbidden", "dropped_queue_full", "dropped_queue_age", "dropped_memory_full",
    "dropped_kept_full", "dropped_closed", "dropped_other")


cdef struct datagram_t:
    # A datagram, or a GSO run of `segments` of them, each `segment` bytes but for the last. Committed: its data is in the
    # arena. Waiting in a send queue, in memory or for Python: its data is behind this header, with UDP_TAILROOM.
    datagram_t *next
    socket_t *socket                    # the receiving one, when in memory
    uint8_t *data
    uint32_t length
    uint32_t segment
    uint32_t segments
    int tag
    uint64_t queued_at_us
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
    uint32_t gso_limit                  # longest segment believed to pass with GSO, 0: none
    endpoint_t bound
    endpoint_t announced                # zero: none
    receive_fn receive
    void *context
    void *receiver                      # Receiver, kept alive by the owner
    void *owner                         # UdpSocket
    queue_t waiting                     # for the kernel's send buffer
    datagram_t *committed               # since the last flush, oldest first
    datagram_t *last_committed
    socket_t *next_committed            # list of the sockets in this batch
    socket_t *next_blocked              # list of the sockets whose writer has to be armed
    socket_t *next_on_port
    bint writer_wanted
    uint32_t overflow_seen
    uint64_t counters[COUNTERS]
    uint64_t *component_counters


cdef mmsghdr in_headers[BATCH]
cdef iovec in_vectors[BATCH]
cdef sockaddr_in6 in_names[BATCH]
cdef uint64_t in_controls[BATCH][CONTROL_WORDS]
cdef packet_t packets[MAX_PACKETS]
cdef socket_t *receiving = NULL         # whose packets are being handled: `keep` counts there

cdef mmsghdr out_headers[BATCH]
cdef iovec out_vectors[BATCH]
cdef sockaddr_in6 out_names[BATCH]
cdef uint64_t out_controls[BATCH][CONTROL_WORDS]
cdef uint8_t arena[ARENA_BYTES]
cdef uint32_t arena_used = 0
cdef datagram_t committed[MAX_COMMITTED]
cdef int committed_count = 0
cdef socket_t *committed_sockets = NULL

cdef queue_t in_memory
cdef socket_t *sockets_on_port[2][65536]        # [IPv6?][port]
cdef endpoint_t own_endpoints[MAX_OWN_ADDRESSES]
cdef int own_count = 0

cdef socket_t *blocked_sockets = NULL
cdef void *touched_receivers = NULL
cdef bint gso_allowed = True
cdef bint draining = False              # a drain or settle is running and will see to what is left
cdef bint settle_scheduled = False
cdef object _loop = None
cdef object _own_addresses = frozenset()
cdef dict _components = {}              # name -> address of its counters; as many as there are names in our code
cdef uint32_t V4_PREFIX = htonl(0xFFFF)     # what stands before an IPv4 address in an endpoint's `low`


# ---- counters, addresses, queues ------------------------------------------------------------------------------------

cdef inline void count(socket_t *s, int counter, uint64_t number) noexcept nogil:
    s.counters[counter] += number
    s.component_counters[counter] += number


cdef uint64_t monotonic_us() noexcept nogil:
    cdef timespec_t now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1_000_000 + now.tv_nsec // 1000


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


cdef int endpoint_from_python(object address, endpoint_t *result) except -1:
    """ValueError unless `address` is (IP address, port)."""
    cdef uint8_t raw[16]
    host, port = address
    if not 0 <= port <= 65535:
        raise ValueError(f"not a port: {port}")
    text = host.encode()
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
    queue.bytes += d.length


cdef datagram_t *pop(queue_t *queue) noexcept nogil:
    """The oldest, now the caller's to free; the queue must not be empty."""
    cdef datagram_t *d = queue.head
    queue.head = d.next
    queue.count -= 1
    queue.bytes -= d.length
    return d


cdef void clear(queue_t *queue) noexcept nogil:
    while queue.head != NULL:
        free(pop(queue))


# ---- receiving ------------------------------------------------------------------------------------------------------

cdef void hand_over(socket_t *s, int number) noexcept nogil:
    """Lets the socket's receiver handle `packets`, and sends what it committed."""
    global receiving
    (<Receiver>s.receiver).wake()
    receiving = s
    s.receive(s.context, packets, number)
    receiving = NULL


cdef uint32_t read_controls(socket_t *s, msghdr *header, endpoint_t *local) noexcept nogil:
    """Sets `local`, counts overflow; returns the segment size of a GRO run or 0."""
    cdef cmsghdr *control = CMSG_FIRSTHDR(header)
    cdef uint32_t overflow
    cdef int segment = 0
    local[0] = s.bound
    while control != NULL:
        if control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
            memcpy(&segment, CMSG_DATA(control), sizeof(int))
        elif control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_PKTINFO:
            endpoint_from_bytes(local, &(<in_pktinfo *>CMSG_DATA(control)).ipi_spec_dst, False, s.bound.port)
        elif control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_PKTINFO:
            endpoint_from_bytes(local, &(<in6_pktinfo *>CMSG_DATA(control)).ipi6_addr, True, s.bound.port)
        elif control.cmsg_level == SOL_SOCKET and control.cmsg_type == SO_RXQ_OVFL:
            memcpy(&overflow, CMSG_DATA(control), sizeof(uint32_t))
            count(s, OVERFLOW, <uint32_t>(overflow - s.overflow_seen))
            s.overflow_seen = overflow
        control = CMSG_NXTHDR(header, control)
    return segment if segment > 0 else 0


cdef int split_run(socket_t *s, int index, int number) noexcept nogil:
    """Appends the datagrams of one received message to the `number` packets there are; returns how many are left."""
    cdef msghdr *header = &in_headers[index].msg_hdr
    cdef sockaddr_in6 *name = &in_names[index]
    cdef uint8_t *data = <uint8_t *>in_vectors[index].iov_base
    cdef uint32_t left = in_headers[index].msg_len
    cdef endpoint_t source, local
    cdef uint32_t segment = read_controls(s, header, &local)
    if header.msg_flags & MSG_TRUNC:
        count(s, DROPPED_TRUNCATED, 1)
        return number
    if s.v6:
        endpoint_from_bytes(&source, &name.sin6_addr, True, ntohs(name.sin6_port))
    else:
        endpoint_from_bytes(&source, &(<sockaddr_in *>name).sin_addr, False, ntohs((<sockaddr_in *>name).sin_port))
    count(s, BYTES_IN, left)
    if 0 < segment < left:
        count(s, GRO_RECEIVES, 1)
    else:
        segment = left
    while True:
        if number == MAX_PACKETS:
            hand_over(s, number)
            udp_flush()
            number = 0
        packets[number].data = data
        packets[number].length = min(segment, left)
        packets[number].source = source
        packets[number].local = local
        count(s, DATAGRAMS_IN, 1)
        data += packets[number].length
        left -= packets[number].length
        number += 1
        if left == 0:
            return number


cdef void reset_header(int index) noexcept nogil:
    in_headers[index].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
    in_headers[index].msg_hdr.msg_controllen = CONTROL_BYTES
    in_headers[index].msg_hdr.msg_flags = 0


cdef void receive_rounds(socket_t *s) noexcept nogil:
    """Receives and handles what the kernel holds, within bounds."""
    cdef int _turn, i, received, number
    for _turn in range(MAX_ROUNDS):
        received = recvmmsg(s.fd, in_headers, BATCH, MSG_DONTWAIT, NULL)
        if received < 0:
            if errno == EINTR:
                continue
            if errno != EAGAIN:
                count(s, RECEIVE_ERRORS, 1)
            return
        number = 0
        for i in range(received):
            number = split_run(s, i, number)
            reset_header(i)
        if number > 0:
            hand_over(s, number)
            udp_flush()
        if received < BATCH:
            return


# ---- sending --------------------------------------------------------------------------------------------------------

cdef uint8_t *udp_reserve(int size) noexcept nogil:
    if size > UDP_MAX_PAYLOAD:
        return NULL
    if arena_used + size > ARENA_BYTES or committed_count == MAX_COMMITTED:
        udp_flush()
    return arena + arena_used


cdef void udp_commit(socket_t *s, const endpoint_t *remote, const endpoint_t *local, int length) noexcept nogil:
    global arena_used, committed_count, committed_sockets
    cdef socket_t *ours
    cdef datagram_t *d
    if s.fd < 0:
        count(s, DROPPED_CLOSED, 1)
        return
    if not 0 <= length <= UDP_MAX_PAYLOAD:
        count(s, DROPPED_OVERSIZE, 1)
        return
    if is_v6(remote) != s.v6 or (local != NULL and is_specified(local) and is_v6(local) != s.v6):
        count(s, DROPPED_ADDRESS, 1)
        return
    ours = own_socket(remote, s.v6)
    if ours != NULL:
        send_in_memory(s, ours, remote, local, length)
        return
    arena_used += length
    if committed_count > 0 and extend_run(&committed[committed_count - 1], s, remote, local, length):
        return
    d = &committed[committed_count]
    committed_count += 1
    d.next = NULL
    d.data = arena + arena_used - length
    d.length = d.segment = length
    d.segments = 1
    d.remote = remote[0]
    if local != NULL:
        d.local = local[0]
    else:
        memset(&d.local, 0, sizeof(endpoint_t))
    if s.committed == NULL:
        s.committed = d
        s.next_committed = committed_sockets
        committed_sockets = s
    else:
        s.last_committed.next = d
    s.last_committed = d


cdef inline bint extend_run(
        datagram_t *run, socket_t *s, const endpoint_t *remote, const endpoint_t *local, uint32_t length) noexcept nogil:
    """Joins the next datagram of the arena to the last committed message, if they may leave as one GSO send."""
    if (
        s.last_committed != run or s.committed == NULL or length == 0 or length > run.segment
        or run.segment > s.gso_limit or not gso_allowed
        or run.length != run.segments * run.segment         # a shorter one has ended the run
        or run.segments == MAX_GSO_SEGMENTS or run.length + length > MAX_GSO_BYTES
        or not endpoint_equal(remote, &run.remote)
        or not (same_address(local, &run.local) if local != NULL else not is_specified(&run.local))
    ):
        return False
    run.length += length
    run.segments += 1
    return True


cdef void udp_flush() noexcept nogil:
    global arena_used, committed_count, committed_sockets
    cdef socket_t *s
    while committed_sockets != NULL:
        s = committed_sockets
        committed_sockets = s.next_committed
        if s.waiting.head == NULL:
            s.committed = transmit(s, s.committed)
        if s.committed != NULL:
            wait_for_room(s, s.committed)
            s.committed = NULL
    committed_count = 0
    arena_used = 0
    if not draining and (in_memory.head != NULL or blocked_sockets != NULL):
        schedule_settle()


cdef void *add_control(msghdr *header, int level, int kind, size_t size) noexcept nogil:
    cdef cmsghdr *control = <cmsghdr *>(<uint8_t *>header.msg_control + header.msg_controllen)
    control.cmsg_level = level
    control.cmsg_type = kind
    control.cmsg_len = CMSG_LEN(size)
    header.msg_controllen += CMSG_SPACE(size)
    memset(CMSG_DATA(control), 0, size)
    return CMSG_DATA(control)


cdef void fill_header(int index, socket_t *s, datagram_t *d) noexcept nogil:
    cdef msghdr *header = &out_headers[index].msg_hdr
    cdef sockaddr_in6 *name = &out_names[index]
    cdef uint16_t segment = d.segment
    cdef const uint8_t *v4_local = <const uint8_t *>&d.local.low + 4
    cdef void *info
    memset(name, 0, sizeof(sockaddr_in6))
    if s.v6:
        name.sin6_family = AF_INET6
        name.sin6_port = htons(d.remote.port)
        memcpy(&name.sin6_addr, &d.remote, 16)
        header.msg_namelen = sizeof(sockaddr_in6)
    else:
        (<sockaddr_in *>name).sin_family = AF_INET
        (<sockaddr_in *>name).sin_port = htons(d.remote.port)
        memcpy(&(<sockaddr_in *>name).sin_addr, <const uint8_t *>&d.remote.low + 4, 4)
        header.msg_namelen = sizeof(sockaddr_in)
    out_vectors[index].iov_base = d.data
    out_vectors[index].iov_len = d.length
    header.msg_control = out_controls[index]
    header.msg_controllen = 0
    if s.wildcard and is_specified(&d.local):
        if s.v6:
            info = add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(in6_pktinfo))
            memcpy(&(<in6_pktinfo *>info).ipi6_addr, &d.local, 16)
        else:
            info = add_control(header, IPPROTO_IP, IP_PKTINFO, sizeof(in_pktinfo))
            memcpy(&(<in_pktinfo *>info).ipi_spec_dst, v4_local, 4)
    if d.segments > 1:
        memcpy(add_control(header, SOL_UDP, UDP_SEGMENT, sizeof(uint16_t)), &segment, sizeof(uint16_t))


cdef datagram_t *transmit(socket_t *s, datagram_t *first) noexcept nogil:
    """Sends a list of datagrams, drops what the kernel refuses; returns the first that found no room, or NULL."""
    cdef datagram_t *d
    cdef int number, sent, _i
    while first != NULL:
        number = 0
        d = first
        while d != NULL and number < BATCH:
            fill_header(number, s, d)
            number += 1
            d = d.next
        sent = sendmmsg(s.fd, out_headers, number, MSG_DONTWAIT)
        for _i in range(sent):
            count(s, DATAGRAMS_OUT, first.segments)
            count(s, BYTES_OUT, first.length)
            count(s, GSO_SENDS, first.segments > 1)
            first = first.next
        if sent > 0 or errno == EINTR:
            continue
        if errno == EAGAIN or errno == ENOBUFS or errno == ENOMEM:
            return first
        if first.segments > 1:
            if not send_unsegmented(s, first, errno):
                return first
        else:
            count(s, drop_reason(errno), 1)
        first = first.next
    return NULL


cdef bint send_unsegmented(socket_t *s, datagram_t *run, int error) noexcept nogil:
    """Sends a run that was refused as a GSO send one by one; False: no room, and `run` is what is left of it.

    Segments too long for the path are refused too (they have to be fragmented): then only shorter ones stay in GSO.
    """
    cdef datagram_t one
    s.gso_limit = run.segment - 1 if error != EIO and run.segment > SAFE_SEGMENT_BYTES else 0
    while run.segments > 0:
        one = run[0]
        one.next = NULL
        one.segments = 1
        one.length = min(run.segment, run.length)
        if transmit(s, &one) != NULL:
            return False
        run.data += one.length
        run.length -= one.length
        run.segments -= 1
    return True


cdef int drop_reason(int error) noexcept nogil:
    if error == EMSGSIZE:
        return DROPPED_OVERSIZE
    if error == EINVAL or error == EADDRNOTAVAIL or error == EAFNOSUPPORT:
        return DROPPED_ADDRESS
    if error == EHOSTUNREACH or error == ENETUNREACH or error == ENETDOWN or error == EHOSTDOWN:
        return DROPPED_UNREACHABLE
    if error == ECONNREFUSED:
        return DROPPED_REFUSED
    if error == EPERM or error == EACCES:
        return DROPPED_FORBIDDEN
    return DROPPED_OTHER


cdef void drop_oldest(socket_t *s, int reason) noexcept nogil:
    cdef datagram_t *d = pop(&s.waiting)
    count(s, reason, d.segments)
    free(d)


cdef void shed_old(socket_t *s, uint64_t now_us) noexcept nogil:
    while s.waiting.head != NULL and now_us - s.waiting.head.queued_at_us > MAX_QUEUE_AGE_US:
        drop_oldest(s, DROPPED_QUEUE_AGE)


cdef void wait_for_room(socket_t *s, datagram_t *first) noexcept nogil:
    """Copies a list of committed datagrams behind those already waiting; the oldest make room."""
    global blocked_sockets
    cdef uint64_t now_us = monotonic_us()
    cdef datagram_t *d
    cdef datagram_t *copy
    shed_old(s, now_us)
    d = first
    while d != NULL:
        while s.waiting.bytes + d.length > MAX_QUEUE_BYTES:
            drop_oldest(s, DROPPED_QUEUE_FULL)
        copy = copy_datagram(d.data, d.length)
        if copy == NULL:
            count(s, DROPPED_QUEUE_FULL, d.segments)
        else:
            copy.segment = d.segment
            copy.segments = d.segments
            copy.remote = d.remote
            copy.local = d.local
            copy.queued_at_us = now_us
            append(&s.waiting, copy)
        d = d.next
    if not s.writer_wanted:
        s.writer_wanted = True
        s.next_blocked = blocked_sockets
        blocked_sockets = s


cdef void send_waiting(socket_t *s) noexcept nogil:
    cdef datagram_t *left
    shed_old(s, monotonic_us())
    if s.waiting.head != NULL:
        left = transmit(s, s.waiting.head)
        while s.waiting.head != left:
            free(pop(&s.waiting))


# ---- delivery in memory ---------------------------------------------------------------------------------------------

cdef socket_t *own_socket(const endpoint_t *remote, bint v6) noexcept nogil:
    """The open socket of ours that holds this port on this address of ours, or NULL."""
    cdef socket_t *s = sockets_on_port[v6][remote.port]
    cdef socket_t *wildcard = NULL
    cdef int i
    if s == NULL:
        return NULL
    for i in range(own_count):
        if same_address(&own_endpoints[i], remote):
            break
    else:
        return NULL
    while s != NULL:
        if same_address(&s.bound, remote):
            return s
        if s.wildcard:
            wildcard = s
        s = s.next_on_port
    return wildcard


cdef void send_in_memory(
        socket_t *s, socket_t *to, const endpoint_t *remote, const endpoint_t *local, uint32_t length) noexcept nogil:
    """Queues a copy of the reserved datagram; its source is `local`, else `announced`, else as the kernel would."""
    cdef datagram_t *d = NULL
    if in_memory.count < MAX_MEMORY_DATAGRAMS and in_memory.bytes + length <= MAX_MEMORY_BYTES:
        d = copy_datagram(arena + arena_used, length)
    if d == NULL:
        count(s, DROPPED_MEMORY_FULL, 1)
        return
    d.socket = to
    d.local = remote[0]
    if local != NULL and is_specified(local):
        d.remote = local[0]
    elif is_specified(&s.announced):
        d.remote = s.announced
    elif not s.wildcard:
        d.remote = s.bound
    else:
        d.remote = remote[0]
    d.remote.port = s.bound.port
    append(&in_memory, d)
    count(s, MEMORY_OUT, 1)


cdef void deliver_in_memory() noexcept nogil:
    """Hands over what is queued and, within bounds, what the receivers answer to it."""
    cdef queue_t batch
    cdef datagram_t *d
    cdef socket_t *s
    cdef int _turn, number
    for _turn in range(MAX_ROUNDS):
        if in_memory.head == NULL:
            return
        batch = in_memory
        memset(&in_memory, 0, sizeof(queue_t))
        while batch.head != NULL:
            s = batch.head.socket
            d = batch.head
            number = 0
            while d != NULL and d.socket == s and number < MAX_PACKETS:
                packets[number].data = d.data
                packets[number].length = d.length
                packets[number].source = d.remote
                packets[number].local = d.local
                number += 1
                d = d.next
            count(s, MEMORY_IN, number)
            hand_over(s, number)
            while batch.head != d:
                free(pop(&batch))
        udp_flush()


cdef void forget_in_memory(socket_t *s) noexcept nogil:
    """Drops what is queued for a socket that closes."""
    cdef queue_t batch = in_memory
    cdef datagram_t *d
    memset(&in_memory, 0, sizeof(queue_t))
    while batch.head != NULL:
        d = pop(&batch)
        if d.socket == s:
            count(s, DROPPED_CLOSED, 1)
            free(d)
        else:
            append(&in_memory, d)


# ---- with the GIL: the end of a drain -------------------------------------------------------------------------------

cdef void schedule_settle() noexcept with gil:
    """For work that was made outside a drain, or was left by it."""
    global settle_scheduled
    if not settle_scheduled and _loop is not None and not _loop.is_closed():
        settle_scheduled = True
        _loop.call_soon(_settle_soon)


def _settle_soon():
    global settle_scheduled
    settle_scheduled = False
    settle()


cdef object settle():
    """Delivers in memory, dispatches to Python, arms the writers of blocked sockets."""
    global draining
    draining = True
    try:
        with nogil:
            deliver_in_memory()
        dispatch_touched()
        udp_flush()
        watch_blocked()
    finally:
        draining = False
    if in_memory.head != NULL or touched_receivers != NULL:
        schedule_settle()


cdef object dispatch_touched():
    global touched_receivers
    cdef list receivers = []
    cdef Receiver receiver
    while touched_receivers != NULL:
        receiver = <Receiver>touched_receivers
        touched_receivers = receiver.next_touched
        receiver.touched = False
        receivers.append(receiver)
    receivers.reverse()
    for receiver in receivers:
        try:
            receiver.dispatch()
        except Exception as error:
            _loop.call_exception_handler({"message": f"{type(receiver).__name__} failed", "exception": error})


cdef object watch_blocked():
    global blocked_sockets
    cdef UdpSocket owner
    while blocked_sockets != NULL:
        owner = <UdpSocket>blocked_sockets.owner
        blocked_sockets = blocked_sockets.next_blocked
        owner._loop.add_writer(owner.handle.fd, owner._send_waiting)


# ---- the classes ----------------------------------------------------------------------------------------------------

cdef class Receiver:
    """Base of what handles a socket's datagrams; subclasses are compiled, see udp.pxd."""

    def __cinit__(self):
        self.kept = <queue_t *>calloc(1, sizeof(queue_t))
        if self.kept == NULL:
            raise MemoryError

    def __dealloc__(self):
        global touched_receivers
        cdef void *other = touched_receivers
        if self.touched:
            if other == <void *>self:
                touched_receivers = self.next_touched
            else:
                while (<Receiver>other).next_touched != <void *>self:
                    other = (<Receiver>other).next_touched
                (<Receiver>other).next_touched = self.next_touched
        if self.kept != NULL:
            clear(self.kept)
            free(self.kept)

    cdef bint keep(self, const packet_t *packet, int tag) noexcept nogil:
        cdef datagram_t *d = NULL
        if self.kept.count < MAX_KEPT_DATAGRAMS and self.kept.bytes + packet.length <= MAX_KEPT_BYTES:
            d = copy_datagram(packet.data, packet.length)
        if d == NULL:
            if receiving != NULL:
                count(receiving, DROPPED_KEPT_FULL, 1)
            return False
        d.remote = packet.source
        d.local = packet.local
        d.tag = tag
        append(self.kept, d)
        self.wake()
        return True

    cdef list take(self):
        cdef list result = []
        cdef datagram_t *d
        while self.kept.head != NULL:
            d = pop(self.kept)
            try:
                result.append((
                    d.tag, PyBytes_FromStringAndSize(<char *>d.data, d.length),
                    endpoint_to_python(&d.remote), endpoint_to_python(&d.local)))
            finally:
                free(d)
        return result

    cdef void wake(self) noexcept nogil:
        global touched_receivers
        if not self.touched:
            self.touched = True
            self.next_touched = touched_receivers
            touched_receivers = <void *>self
            if not draining:
                schedule_settle()

    cdef object dispatch(self):
        return None


cdef void keep_all(void *context, packet_t *batch, int number) noexcept nogil:
    cdef int i
    for i in range(number):
        (<Receiver>context).keep(&batch[i], 0)


cdef class CallbackReceiver(Receiver):
    """Hands every datagram to a Python function: for tests and tools."""

    cdef object _callback

    def __cinit__(self):
        self.receive = keep_all
        self.context = <void *>self

    def __init__(self, callback):
        self._callback = callback

    cdef object dispatch(self):
        return self._callback(self.take())


cdef class UdpSocket:
    """A bound UDP socket on the event loop; it stays open until `close`."""

    def __cinit__(self):
        self.handle = <socket_t *>calloc(1, sizeof(socket_t))
        if self.handle == NULL:
            raise MemoryError
        self.handle.fd = -1

    def __init__(
            self, loop, address, Receiver receiver not None, *, str component not None, receive_buffer_bytes=4 << 20,
            announced=""):
        cdef socket_t *s = self.handle
        if self._socket is not None:
            raise RuntimeError("initialized twice")
        if receiver.receive == NULL:
            raise TypeError(f"{type(receiver).__name__} has no receive function")
        endpoint_from_python(address, &s.bound)
        s.v6 = is_v6(&s.bound)
        s.component_counters = component_counters(component)
        self.component = component
        self.announced = announced
        self._socket = open_socket(s.v6, address, receive_buffer_bytes)
        endpoint_from_python(self._socket.getsockname()[:2], &s.bound)
        s.wildcard = self._socket.getsockname()[0] in ("0.0.0.0", "::")
        s.gso_limit = MAX_GSO_BYTES
        s.receive = receiver.receive
        s.context = receiver.context
        s.receiver = <void *>receiver
        s.owner = <void *>self
        s.fd = self._socket.fileno()
        self.receiver = receiver
        self._loop = loop
        adopt_loop(loop)
        s.next_on_port = sockets_on_port[s.v6][s.bound.port]
        sockets_on_port[s.v6][s.bound.port] = s
        loop.add_reader(s.fd, self._drain)

    def __dealloc__(self):
        if self.handle != NULL:
            if self.handle.fd >= 0:
                unlink_socket(self.handle)
            free(self.handle)

    @property
    def local_address(self):
        return endpoint_to_python(&self.handle.bound)

    @property
    def announced(self):
        return endpoint_to_python(&self.handle.announced)[0] if is_specified(&self.handle.announced) else None

    @announced.setter
    def announced(self, address):
        cdef endpoint_t endpoint
        memset(&endpoint, 0, sizeof(endpoint))
        if address:
            endpoint_from_python((address, 0), &endpoint)
            if is_v6(&endpoint) != self.handle.v6:
                raise ValueError(f"{address} is of the other address family")
        self.handle.announced = endpoint

    def fileno(self):
        return self.handle.fd

    def counters(self):
        return counters_to_python(self.handle.counters)

    def send(self, bytes data not None, remote, local=None):
        self.send_batch([data], remote, local)

    def send_batch(self, list datagrams not None, remote, local=None):
        cdef endpoint_t to, source
        cdef bytes data
        cdef int length
        endpoint_from_python(remote, &to)
        if local is not None:
            endpoint_from_python(local, &source)
        for data in datagrams:
            length = min(len(data), UDP_MAX_PAYLOAD + 1)
            if length <= UDP_MAX_PAYLOAD:
                memcpy(udp_reserve(length), <const char *>data, length)
            udp_commit(self.handle, &to, &source if local is not None else NULL, length)
        udp_flush()

    def close(self):
        if self.handle.fd < 0:
            return
        udp_flush()
        if not self._loop.is_closed():
            self._loop.remove_reader(self.handle.fd)
            self._loop.remove_writer(self.handle.fd)
        unlink_socket(self.handle)
        self._socket.close()

    def _drain(self):
        global draining
        if self.handle.fd < 0:
            return
        draining = True
        with nogil:
            receive_rounds(self.handle)
        settle()

    def _send_waiting(self):
        if self.handle.fd < 0:
            return
        send_waiting(self.handle)
        if self.handle.waiting.head == NULL:
            self.handle.writer_wanted = False
            self._loop.remove_writer(self.handle.fd)


cdef void unlink_socket(socket_t *s) noexcept:
    """Takes a socket that closes out of every table and queue; what waited is dropped."""
    global blocked_sockets
    cdef socket_t **link = &sockets_on_port[s.v6][s.bound.port]
    while link[0] != s:
        link = &link[0].next_on_port
    link[0] = s.next_on_port
    link = &blocked_sockets
    while link[0] != NULL and link[0] != s:
        link = &link[0].next_blocked
    if link[0] == s:
        link[0] = s.next_blocked
    forget_in_memory(s)
    while s.waiting.head != NULL:
        drop_oldest(s, DROPPED_CLOSED)
    s.fd = -1


cdef object open_socket(bint v6, address, int receive_buffer_bytes):
    """A bound, non-blocking socket with the options of this module. OSError when it cannot be bound.

    A datagram too large for the path has to be fragmented rather than lost, since nobody would read the error: IPv4 goes
    without DF and believes no (forged) ICMP (OMIT); for IPv6 only the sender can fragment, so it listens (DONT).
    """
    result = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if v6:
            result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            result.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT)
        else:
            result.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            result.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
        result.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        set_buffer(result, SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer_bytes)
        set_buffer(result, SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            result.setsockopt(SOL_UDP, UDP_GRO, 1)
        except OSError:                 # a kernel before 5.0: every datagram comes alone
            pass
        result.bind(address)
    except BaseException:
        result.close()
        raise
    return result


cdef object set_buffer(sock, int forced, int asked, int size):
    """Beyond the system's limit where that is permitted (CAP_NET_ADMIN), else up to it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, asked, size)


cdef object adopt_loop(loop):
    """The newest socket's loop is the loop of the module; what was scheduled on a former one is void."""
    global _loop, settle_scheduled
    if loop is not _loop:
        _loop = loop
        settle_scheduled = False


cdef uint64_t *component_counters(str component) except NULL:
    cdef uint64_t *counters
    if component not in _components:
        counters = <uint64_t *>calloc(COUNTERS, sizeof(uint64_t))
        if counters == NULL:
            raise MemoryError
        _components[component] = <size_t>counters
    return <uint64_t *><size_t>_components[component]


cdef dict counters_to_python(const uint64_t *counters):
    return {name: counters[i] for i, name in enumerate(COUNTER_NAMES)}


def totals():
    return {name: counters_to_python(component_counters(name)) for name in _components}


def set_own_addresses(addresses):
    global own_count, _own_addresses
    cdef endpoint_t endpoints[MAX_OWN_ADDRESSES]
    cdef int number = 0
    texts = set()
    for address in addresses:
        if number == MAX_OWN_ADDRESSES:
            raise ValueError(f"more than {MAX_OWN_ADDRESSES} addresses")
        endpoint_from_python((address, 0), &endpoints[number])
        texts.add(endpoint_to_python(&endpoints[number])[0])
        number += 1
    memcpy(own_endpoints, endpoints, sizeof(endpoints))
    own_count = number
    _own_addresses = frozenset(texts)


def own_addresses():
    return _own_addresses


def set_gso(allowed):
    global gso_allowed
    gso_allowed = allowed


cdef void prepare_headers() noexcept:
    """Points the batch headers at their buffers, once."""
    cdef uint8_t *buffers = <uint8_t *>malloc(BATCH * (RECEIVE_BYTES + UDP_TAILROOM))
    cdef int i
    for i in range(BATCH):
        in_vectors[i].iov_base = buffers + i * (RECEIVE_BYTES + UDP_TAILROOM)
        in_vectors[i].iov_len = RECEIVE_BYTES
        in_headers[i].msg_hdr.msg_iov = &in_vectors[i]
        in_headers[i].msg_hdr.msg_iovlen = 1
        in_headers[i].msg_hdr.msg_name = &in_names[i]
        in_headers[i].msg_hdr.msg_control = in_controls[i]
        reset_header(i)
        out_headers[i].msg_hdr.msg_iov = &out_vectors[i]
        out_headers[i].msg_hdr.msg_iovlen = 1
        out_headers[i].msg_hdr.msg_name = &out_names[i]


assert len(COUNTER_NAMES) == COUNTERS
prepare_headers()
