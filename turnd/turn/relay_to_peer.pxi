# Part of relay.pyx: what clients send, to their peers. All without the GIL.
# tests/turnd/turn/relay_model.py says the same in plain Python.

cdef inline bint permitted(const relay_t *relay, const endpoint_t *peer, uint64_t now, drop_t missing) noexcept nogil:
    """Whether datagrams may pass between the client and `peer`; counts the drop otherwise."""
    cdef peer_t *permission = find_peer(relay, peer, 0)
    if permission == NULL or permission.expires_us <= now:
        count_drop(relay.path, missing)
        return False
    if permission.restricted and not port_open(relay.path, peer):
        count_drop(relay.path, DENIED)
        return False
    return True


cdef inline void to_peer(
        relay_t *relay, const endpoint_t *peer, const uint8_t *data, uint32_t length, uint64_t now) noexcept nogil:
    if not within_budget(relay, True, length, now):
        return
    memcpy(udp_reserve(<int>length), data, length)
    udp_commit(relay.relay_socket, peer, NULL, <int>length)
    relay.packets_to_peer += 1
    relay.bytes_to_peer += length
    relay.path.packets_to_peer += 1
    relay.path.bytes_to_peer += length


cdef void channel_to_peer(relay_t *relay, const uint8_t *message, uint32_t length, uint64_t now) noexcept nogil:
    """One ChannelData message, RFC 8656 §12.6; what is behind its length is padding."""
    cdef uint32_t size
    cdef peer_t *peer
    if length < 4:
        count_drop(relay.path, MALFORMED)
        return
    size = read16(message + 2)
    if size > length - 4:
        count_drop(relay.path, MALFORMED)
        return
    if size > UDP_MAX_PAYLOAD:
        count_drop(relay.path, OVERSIZE)
        return
    peer = find_channel(relay, read16(message))
    if peer == NULL and relay.other != NULL:
        relay = relay.other
        peer = find_channel(relay, read16(message))
    if peer == NULL or peer.expires_us <= now:
        count_drop(relay.path, NO_CHANNEL)
        return
    if relay.relay_socket == NULL:
        count_drop(relay.path, CLOSED)
        return
    if permitted(relay, &peer.endpoint, now, NO_PERMISSION):
        to_peer(relay, &peer.endpoint, message + 4, size, now)


cdef void receive_from_clients(void *context, packet_t *packets, int count) noexcept nogil:
    cdef table_t *table = &(<ClientReceiver>context).table
    cdef packet_t *packet
    cdef relay_t *relay = NULL
    cdef uint64_t now = monotonic_us()
    cdef int position
    for position in range(count):
        packet = packets + position
        if packet.length and (packet.data[0] & 0xC0) == 0x40:
            if relay == NULL or not is_flow(relay, &packet.source, &packet.local):
                relay = find_relay(table, &packet.source, &packet.local)
            if relay == NULL:
                count_drop(table.path, NO_ALLOCATION)
            elif relay.relay_socket == NULL:                    # an expected client has come: policy moves a relay here
                (<Receiver>context).keep(packet, 0)
            else:
                channel_to_peer(relay, packet.data, packet.length, now)
        elif is_stun(packet.data, packet.length):
            (<Receiver>context).keep(packet, 0)
        else:
            count_drop(table.path, MALFORMED)
