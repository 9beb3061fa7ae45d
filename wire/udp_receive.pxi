# Part of udp.pyx: epoll, recvmmsg, control messages, splitting of GRO runs, ICMP. All without the GIL.

cdef void hand_over(socket_t *s, int number) noexcept nogil:
    """Lets the socket's receiver handle `packets`, and sends what it committed."""
    global receiving
    receiving = s
    s.receive(s.context, packets, number)
    receiving = NULL


cdef uint32_t read_controls(socket_t *s, msghdr *header, endpoint_t *local, uint64_t *arrived_us) noexcept nogil:
    """Sets `local` and `arrived_us` (wall clock), counts overflow; returns the segment size of a GRO run or 0."""
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
        elif control.cmsg_level == SOL_SOCKET and control.cmsg_type == SO_TIMESTAMPNS:
            arrived_us[0] = to_microseconds(<timespec_t *>CMSG_DATA(control))
        control = CMSG_NXTHDR(header, control)
    return segment if segment > 0 else 0


cdef inline void name_to_endpoint(socket_t *s, int index, endpoint_t *endpoint) noexcept nogil:
    """The address the kernel wrote beside a received message."""
    cdef sockaddr_in6 *name = &in_names[index]
    cdef sockaddr_in *name4 = <sockaddr_in *>name
    if s.v6:
        endpoint_from_bytes(endpoint, &name.sin6_addr, True, ntohs(name.sin6_port))
    else:
        endpoint_from_bytes(endpoint, &name4.sin_addr, False, ntohs(name4.sin_port))


cdef inline uint64_t on_monotonic_clock(uint64_t arrived_us, uint64_t now_us, uint64_t wall_us) noexcept nogil:
    """When a datagram arrived by the clock that nobody sets; both clocks were read after it."""
    return now_us - (wall_us - arrived_us) if arrived_us < wall_us <= arrived_us + MAX_WAIT_US else now_us


cdef int split_run(socket_t *s, int index, int number, uint64_t now_us, uint64_t wall_us) noexcept nogil:
    """Appends the datagrams of one received message to the `number` packets there are; returns how many are left."""
    cdef msghdr *header = &in_headers[index].msg_hdr
    cdef uint8_t *data = <uint8_t *>in_vectors[index].iov_base
    cdef uint32_t left = in_headers[index].msg_len
    cdef endpoint_t source, local
    cdef uint64_t arrived_us = 0
    cdef uint32_t segment = read_controls(s, header, &local, &arrived_us)
    arrived_us = on_monotonic_clock(arrived_us, now_us, wall_us)
    if header.msg_flags & MSG_TRUNC:
        count(s, DROPPED_TRUNCATED, 1)
        return number
    name_to_endpoint(s, index, &source)
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
        packets[number].arrived_us = arrived_us
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


cdef bint receive_batch(socket_t *s) noexcept nogil:
    """Receives and handles one batch; whether there may be more."""
    cdef int i, number = 0, asked = s.batch
    cdef int received = recvmmsg(s.fd, in_headers, asked, MSG_DONTWAIT, NULL)
    cdef uint64_t now_us, wall_us = 0
    if received < 0:
        if errno == EINTR:
            return True
        if errno != EAGAIN and s.receive_icmp == NULL:      # what ICMP brought stands in the error queue as well
            count(s, RECEIVE_ERRORS, 1)
        return False
    now_us = monotonic_us()
    if s.timed:
        wall_us = clock_us(CLOCK_REALTIME)
    for i in range(received):
        number = split_run(s, i, number, now_us, wall_us)
        reset_header(i)
    if number > 0:
        hand_over(s, number)
        fit_batch(s, received, monotonic_us() - now_us)
    return received == asked


cdef inline void fit_batch(socket_t *s, int received, uint64_t passed_us) noexcept nogil:
    """Has the next batch take neither so long that all else waits for it, nor less than there is time for."""
    if passed_us > LONG_BATCH_US:
        s.batch = max(<int>MIN_BATCH, s.batch // 2)
    elif received == s.batch and passed_us < LONG_BATCH_US // 4:
        s.batch = min(<int>BATCH, s.batch * 2)


cdef bint read_icmp(socket_t *s, icmp_t *message) noexcept nogil:
    """Takes the next ICMP message from the error queue; False: there is none. `type` 255: it was something else."""
    cdef sock_extended_err *error
    cdef cmsghdr *control
    cdef msghdr *header = &in_headers[0].msg_hdr
    cdef ssize_t received = recvmsg(s.fd, header, MSG_ERRQUEUE | MSG_DONTWAIT)
    if received < 0:
        return False
    message.type = 255
    name_to_endpoint(s, 0, &message.remote)
    control = CMSG_FIRSTHDR(header)
    while control != NULL:
        if (
            (control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_RECVERR)
            or (control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_RECVERR)
        ):
            error = <sock_extended_err *>CMSG_DATA(control)
            if error.ee_origin == SO_EE_ORIGIN_ICMP or error.ee_origin == SO_EE_ORIGIN_ICMP6:
                message.type = error.ee_type
                message.code = error.ee_code
                message.mtu = error.ee_info if error.ee_errno == EMSGSIZE else 0
        control = CMSG_NXTHDR(header, control)
    reset_header(0)
    return True


cdef void receive_icmp(socket_t *s) noexcept nogil:
    cdef icmp_t message
    cdef int _i
    for _i in range(MAX_ICMP_AT_ONCE):
        if not read_icmp(s, &message):
            return
        if message.type != 255 and s.receive_icmp != NULL:
            s.receive_icmp(s.context, &message)


cdef bint serve_ready(int poller, uint64_t until_us) noexcept nogil:
    """Serves the sockets that are ready, in rounds of one batch each, within bounds; each round leaves together.

    Whether there were any.
    """
    cdef int _turn, i, ready
    cdef bint more
    cdef uint32_t events
    cdef socket_t *s
    for _turn in range(MAX_ROUNDS):
        ready = epoll_wait(poller, ready_events, BATCH, 0)
        more = ready == BATCH
        for i in range(ready):
            s = <socket_t *>ready_events[i].data.ptr
            events = ready_events[i].events
            if events & EPOLLERR:
                receive_icmp(s)
            if events & EPOLLOUT:
                send_waiting(s)
            if events & EPOLLIN and receive_batch(s):
                more = True
        udp_flush()
        if not more:
            return ready > 0 or _turn > 0
        if monotonic_us() > until_us:
            break
    return True
