# Part of udp.pyx: delivery in memory between our own ports. All without the GIL.

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
    cdef uint64_t now_us
    for _turn in range(MAX_ROUNDS):
        if in_memory.head == NULL:
            return
        now_us = monotonic_us()
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
                packets[number].arrived_us = now_us
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
