# Part of udp.pyx: recvmmsg, control messages, splitting of GRO runs. All without the GIL.

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
