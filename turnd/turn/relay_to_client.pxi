# Part of relay.pyx: what peers send, to their client. All without the GIL; what is for a stream waits for `dispatch`.
# tests/turnd/turn/relay_model.py says the same in plain Python.

cdef uint8_t *reserve_for_client(relay_t *relay, uint32_t length) noexcept nogil:
    """Room for one message to the client, or NULL and a counted drop."""
    cdef uint8_t *out
    if relay.client_socket != NULL:
        if length > UDP_MAX_PAYLOAD:
            count_drop(relay.path, OVERSIZE)
            return NULL
        return udp_reserve(<int>length)
    if relay.stream == NULL:
        count_drop(relay.path, CLOSED)
        return NULL
    if relay.paused or relay.stream_length + length > STREAM_BATCH_BYTES:
        count_drop(relay.path, STREAM_FULL)
        return NULL
    out = relay.stream + relay.stream_length
    relay.stream_length += length
    return out


cdef inline void count_to_client(relay_t *relay, uint32_t length) noexcept nogil:
    relay.packets_to_client += 1
    relay.bytes_to_client += length
    relay.path.packets_to_client += 1
    relay.path.bytes_to_client += length


cdef void peer_to_client(relay_t *relay, const packet_t *packet, uint64_t now) noexcept nogil:
    """One datagram from a peer, RFC 8656 §11.3, §12.7: ChannelData where a channel is bound, else a Data indication."""
    cdef peer_t *channel
    cdef uint8_t *out
    cdef uint32_t total, padding
    if not permitted(relay, &packet.source, now, PEER_NO_PERMISSION):
        return
    if not within_budget(relay, False, packet.length, now):
        return
    channel = find_peer(relay, &packet.source, packet.source.port) if packet.source.port else NULL
    if channel != NULL and channel.expires_us > now:
        padding = 0 if relay.client_socket != NULL else (4 - packet.length & 3) & 3     # §12.5: streams are padded
        total = 4 + packet.length + padding
        out = reserve_for_client(relay, total)
        if out == NULL:
            return
        write16(out, channel.channel)
        write16(out + 2, packet.length)
        memcpy(out + 4, packet.data, packet.length)
        memset(out + 4 + packet.length, 0, padding)
    else:
        total = indication_length(&packet.source, packet.length)
        if total > UDP_MAX_PAYLOAD:
            count_drop(relay.path, OVERSIZE)
            return
        out = reserve_for_client(relay, total)
        if out == NULL:
            return
        write_indication(relay.path, out, packet)
    if relay.client_socket != NULL:
        udp_commit(relay.client_socket, &relay.client, &relay.local, <int>total)
    count_to_client(relay, packet.length)


cdef void receive_from_peers(void *context, packet_t *packets, int count) noexcept nogil:
    cdef relay_t *relay = &(<Relay>context).state
    cdef uint64_t now = monotonic_us()
    cdef int position
    for position in range(count):
        peer_to_client(relay, packets + position, now)
    if relay.stream_length:
        (<Receiver>context).wake()


cdef void receive_icmp_of_peers(void *context, const icmp_t *message) noexcept nogil:
    """RFC 8656 §11.5: a Data indication with ICMP instead of DATA."""
    cdef relay_t *relay = &(<Relay>context).state
    cdef uint32_t total
    cdef uint8_t *out
    if not is_relayed_icmp(message) or not permitted(relay, &message.remote, monotonic_us(), PEER_NO_PERMISSION):
        return
    total = indication_length(&message.remote, 8)
    out = reserve_for_client(relay, total)
    if out == NULL:
        return
    write_icmp_indication(relay.path, out, message)
    if relay.client_socket != NULL:
        udp_commit(relay.client_socket, &relay.client, &relay.local, <int>total)
    else:
        (<Receiver>context).wake()
    relay.path.icmp_to_client += 1
