# Padding: what probes for more than media brings.


cdef int pad_with_repeats(forwarder_t *f, slot_t *slot, int bytes) noexcept nogil:
    """Sends the newest packets of what the slot carries again, by RTX, and once more from the newest when there are
    no more; returns the wire bytes."""
    cdef uint64_t before = slot.transport.bytes_out
    cdef uint64_t packets = slot.transport.packets_out
    cdef epoch_t *e
    cdef int64_t extended = slot.highest
    cdef rtp_t p
    cdef int sent = 0, looked
    for looked in range(MAX_PAD_PACKETS):
        if sent >= bytes:
            break
        e = find_epoch(slot, extended)
        if e == NULL or e.stream != slot.current:
            if sent == 0:
                break
            extended = slot.highest
            continue
        if (
            recall(e.stream, extended - e.offset, &p) and slot.rtx_payload_types[p.kind] != NO_PAYLOAD
            and is_wanted(e, &p) and p.length >= MIN_PAD_BYTES
            and not send_rtx(f, slot, e, &p, extended, SENT_PADDING)
        ):
            break
        extended -= 1
        sent = <int>(slot.transport.bytes_out - before + WIRE_OVERHEAD * (slot.transport.packets_out - packets))
    return sent


cdef int pad_with_nothing(forwarder_t *f, slot_t *slot, int bytes) noexcept nogil:
    """Sends packets of padding alone in the slot's RTX stream; returns the wire bytes."""
    cdef uint64_t before = slot.transport.bytes_out
    cdef uint64_t packets = slot.transport.packets_out
    cdef epoch_t e
    cdef outgoing_t out
    cdef rtp_t p
    cdef int kind, sent = 0, looked
    memset(&e, 0, sizeof(e))
    memset(&p, 0, sizeof(p))
    p.payload = p.length = RTP_HEADER + PADDING_BYTES       # nothing is copied, but there is room
    memset(&out, 0, sizeof(out))
    out.payload_type = NO_PAYLOAD
    for kind in range(KINDS):
        if slot.rtx_payload_types[kind] != NO_PAYLOAD:
            out.payload_type = slot.rtx_payload_types[kind]
    if out.payload_type == NO_PAYLOAD:
        return 0
    out.ssrc = slot.rtx_ssrc
    out.timestamp = slot.last_timestamp
    out.original = -1
    out.send_time = send_time(f.now_us)
    out.pad = PADDING_BYTES
    out.sort = SENT_PADDING
    for looked in range(MAX_PAD_PACKETS):
        out.index = slot.rtx_packets
        if sent >= bytes or not send_packet(f, slot, &e, &p, &out):
            break
        slot.rtx_packets += 1
        sent = <int>(slot.transport.bytes_out - before + WIRE_OVERHEAD * (slot.transport.packets_out - packets))
    return sent
