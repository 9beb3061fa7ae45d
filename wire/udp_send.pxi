# Part of udp.pyx: commits, GSO runs, sendmmsg, refusals, and what waits for room. All without the GIL.

cdef uint8_t *udp_reserve(int size) noexcept nogil:
    if size > UDP_MAX_PAYLOAD:
        return NULL
    if arena_used + size > ARENA_BYTES or committed_count == MAX_COMMITTED:
        udp_flush()
    return arena + arena_used


cdef void udp_commit(socket_t *s, const endpoint_t *remote, const endpoint_t *local, int length) noexcept nogil:
    global arena_used, committed_count, committed_sockets, last_committed_socket
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
        s.next_committed = NULL
        if committed_sockets == NULL:
            committed_sockets = s
        else:
            last_committed_socket.next_committed = s
        last_committed_socket = s
    else:
        s.last_committed.next = d
    s.last_committed = d


cdef inline bint extend_run(
        datagram_t *run, socket_t *s, const endpoint_t *remote, const endpoint_t *local,
        uint32_t length) noexcept nogil:
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


cdef inline bint is_plain(const socket_t *s) noexcept nogil:
    """Whether all the socket has to send are datagrams without control messages, and nothing waits before them."""
    cdef const datagram_t *d = s.committed
    while d != NULL:
        if d.segments > 1 or (s.wildcard and is_specified(&d.local)):
            return False
        d = d.next
    return s.waiting.head == NULL


cdef void run_ring(int number) noexcept nogil:
    """Sends the datagrams that are in the ring, and marks those that went: they have no segments any more."""
    global ring_usable
    cdef int32_t results[URING_ENTRIES]
    cdef int i
    for i in range(number):
        results[i] = -1
    ring_usable = uring_run(results)
    for i in range(number):
        if results[i] >= 0:
            count(ring_sockets[i], DATAGRAMS_OUT, 1)
            count(ring_sockets[i], RING_OUT, 1)
            count(ring_sockets[i], BYTES_OUT, ring_datagrams[i].length)
            ring_datagrams[i].segments = 0


cdef void send_by_ring() noexcept nogil:
    """Sends what plain sockets have committed, in order, a ringful a system call, as far as the kernel takes it."""
    cdef socket_t *s = committed_sockets
    cdef datagram_t *d
    cdef int number = 0
    while s != NULL:
        d = s.committed if is_plain(s) else NULL
        while d != NULL and ring_usable:
            ring_sockets[number] = s
            ring_datagrams[number] = d
            uring_send(
                s.fd, d.data, d.length, &out_names[number], fill_name(s, &d.remote, &out_names[number]), number)
            number += 1
            if number == URING_ENTRIES:
                run_ring(number)
                number = 0
            d = d.next
        s = s.next_committed
    if number:
        run_ring(number)
    s = committed_sockets
    while s != NULL:
        s.committed = unsent(s.committed)
        s = s.next_committed


cdef inline datagram_t *unsent(datagram_t *first) noexcept nogil:
    """A list without the datagrams that the ring has sent."""
    cdef datagram_t **link = &first
    while link[0] != NULL:
        if link[0].segments == 0:
            link[0] = link[0].next
        else:
            link = &link[0].next
    return first


cdef void udp_flush() noexcept nogil:
    global arena_used, committed_count, committed_sockets
    cdef socket_t *s
    if ring_usable and committed_count > 1:
        send_by_ring()
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
    if not draining and in_memory.head != NULL:
        schedule_settle()


cdef void *add_control(msghdr *header, int level, int kind, size_t size) noexcept nogil:
    cdef cmsghdr *control = <cmsghdr *>(<uint8_t *>header.msg_control + header.msg_controllen)
    control.cmsg_level = level
    control.cmsg_type = kind
    control.cmsg_len = CMSG_LEN(size)
    header.msg_controllen += CMSG_SPACE(size)
    memset(CMSG_DATA(control), 0, size)
    return CMSG_DATA(control)


cdef inline socklen_t fill_name(socket_t *s, const endpoint_t *endpoint, sockaddr_in6 *name) noexcept nogil:
    """Writes an endpoint as the socket's family wants it; returns its size."""
    cdef sockaddr_in *name4 = <sockaddr_in *>name
    memset(name, 0, sizeof(sockaddr_in6))
    if s.v6:
        name.sin6_family = AF_INET6
        name.sin6_port = htons(endpoint.port)
        memcpy(&name.sin6_addr, endpoint, 16)
        return sizeof(sockaddr_in6)
    name4.sin_family = AF_INET
    name4.sin_port = htons(endpoint.port)
    memcpy(&name4.sin_addr, <const uint8_t *>&endpoint.low + 4, 4)
    return sizeof(sockaddr_in)


cdef void fill_header(int index, socket_t *s, datagram_t *d) noexcept nogil:
    cdef msghdr *header = &out_headers[index].msg_hdr
    cdef uint16_t segment = d.segment
    cdef const uint8_t *v4_local = <const uint8_t *>&d.local.low + 4
    cdef void *info
    header.msg_namelen = fill_name(s, &d.remote, &out_names[index])
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


cdef inline int send_list(socket_t *s, datagram_t *first) noexcept nogil:
    """Sends as many of a list as one system call takes; how many went, or -1 and errno.

    An ICMP error that has come for an earlier datagram fails one call of a socket that hears ICMP: it is made again.
    """
    cdef datagram_t *d = first
    cdef int number = 0, sent, _attempt
    while d != NULL and number < BATCH:
        fill_header(number, s, d)
        number += 1
        d = d.next
    for _attempt in range(2):
        if number > 1 or out_headers[0].msg_hdr.msg_controllen:
            sent = sendmmsg(s.fd, out_headers, number, MSG_DONTWAIT)
        else:
            sent = 1 if sendto(
                s.fd, first.data, first.length, MSG_DONTWAIT, <sockaddr *>&out_names[0],
                out_headers[0].msg_hdr.msg_namelen) >= 0 else -1
        if sent > 0 or s.receive_icmp == NULL or errno == EAGAIN:
            break
    return sent


cdef datagram_t *transmit(socket_t *s, datagram_t *first) noexcept nogil:
    """Sends a list of datagrams, drops what the kernel refuses; returns the first that found no room, or NULL."""
    cdef int sent, _i
    while first != NULL:
        sent = send_list(s, first)
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
    want_writer(s, True)


cdef void want_writer(socket_t *s, bint wanted) noexcept nogil:
    cdef epoll_event event
    if s.writer_wanted != wanted:
        s.writer_wanted = wanted
        event.events = EPOLLIN | EPOLLOUT if wanted else EPOLLIN
        event.data.ptr = s
        epoll_ctl(s.poller, EPOLL_CTL_MOD, s.fd, &event)


cdef void send_waiting(socket_t *s) noexcept nogil:
    cdef datagram_t *left
    shed_old(s, monotonic_us())
    if s.waiting.head != NULL:
        left = transmit(s, s.waiting.head)
        while s.waiting.head != left:
            free(pop(&s.waiting))
    if s.waiting.head == NULL:
        want_writer(s, False)


cdef void udp_dont_fragment(socket_t *s, bint on) noexcept nogil:
    """PROBE: the DF bit is set and nothing remembered of a path, whose narrowness comes as ICMP."""
    if s.v6:
        set_option(s.fd, IPPROTO_IPV6, IPV6_DONTFRAG, on)
        set_option(s.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE if on else IPV6_PMTUDISC_DONT)
    else:
        set_option(s.fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE if on else IP_PMTUDISC_OMIT)


cdef inline bint set_option(int fd, int level, int option, int value) noexcept nogil:
    return setsockopt(fd, level, option, &value, sizeof(int)) == 0
