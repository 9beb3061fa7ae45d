# Packets out: which slots a stream's packets go to, what is rewritten (RFC 3550, 4588, 7741, 8285), SRTP, sending.
# tests/sfu/rewrite_model.py says the same in plain Python.


cdef struct outgoing_t:
    # What the header of one outgoing packet gets.
    uint32_t ssrc
    uint32_t timestamp
    uint64_t index                  # SRTP's: sequence number and how often it began anew
    uint8_t payload_type
    int original                    # OSN in front of the payload, -1 for none
    uint32_t send_time
    uint16_t number                 # transport-wide
    uint8_t pad
    uint8_t sort                    # SENT_...


cdef void forward_work(forwarder_t *f) noexcept nogil:
    """Sends on what the batch brought: per stream (audio first), per receiver, per packet."""
    cdef stream_t *s
    cdef int video
    for video in range(2):
        while f.touched[video] != NULL:
            s = f.touched[video]
            f.touched[video] = s.next_touched
            s.touched = False
            if s.work_first >= 0:
                forward_stream(f, s)
            if s.loss_to:
                report_loss(f, s)
    f.work_count = 0
    if f.waiting:
        drain(f)


cdef void forward_stream(forwarder_t *f, stream_t *s) noexcept nogil:
    cdef int i, k
    cdef slot_t *slot
    cdef event_t *event
    equalize(f, s)
    s.waiting = False
    for k in range(s.follower_count):
        slot = s.followers[k]
        i = s.work_first
        while i >= 0:
            forward_packet(f, slot, s, &f.work[i])
            i = f.work[i].next
    if s.waiting:
        ask_keyframe(f, s)


cdef void ask_keyframe(forwarder_t *f, stream_t *s) noexcept nogil:
    if s.keyframe_asked_us and f.now_us - s.keyframe_asked_us < KEYFRAME_REPEAT_US:
        return
    if new_event(f, EVENT_KEYFRAME_NEEDED, s) != NULL:
        s.keyframe_asked_us = f.now_us


cdef void equalize(forwarder_t *f, stream_t *s) noexcept nogil:
    """libwebrtc cuts a frame into packets that differ by one byte: padding the smaller ones makes them one GSO run."""
    cdef int first = s.work_first, i, longest
    if s.audio:
        return
    while first >= 0:
        longest = 0
        i = first
        while i >= 0 and f.work[i].timestamp == f.work[first].timestamp:
            longest = max(longest, f.work[i].length - f.work[i].payload)
            i = f.work[i].next
        while first != i:
            if f.work[first].length - f.work[first].payload == longest - 1 and longest > 1:
                f.work[first].pad = 1
            first = f.work[first].next


cdef void report_loss(forwarder_t *f, stream_t *s) noexcept nogil:
    """What this batch skipped and did not bring later on."""
    cdef int64_t first = max(s.loss_from, s.loss_to - 64 * LOSS_WORDS), i
    cdef event_t *event = NULL
    for i in range(first, s.loss_to):
        if in_window(s, i):
            continue
        if event == NULL:
            event = new_event(f, EVENT_LOST, s)
            if event == NULL:
                break
            event.first = first
        event.missing[(i - first) >> 6] |= <uint64_t>1 << ((i - first) & 63)
    s.loss_from = s.loss_to = 0


cdef void forward_packet(forwarder_t *f, slot_t *slot, stream_t *s, rtp_t *p) noexcept nogil:
    """One packet of a stream the slot follows: switches where that is due, and sends."""
    cdef transport_t *t = slot.transport
    if slot.current != s and slot.target != s:
        return
    if slot.payload_types[p.kind] == NO_PAYLOAD:
        drop(f, DROP_CODEC)
        return
    if t.outbound == NULL or t.socket == NULL:
        drop(f, DROP_NO_PATH)
        return
    if slot.current != s or slot.resync:
        if slot.current == s and slot.target != NULL:
            return                              # the other one comes
        if slot.is_shed and is_held_back(f, slot):
            return
        if not slot.audio and not p.keyframe:
            s.waiting = True
            drop(f, DROP_AWAITING_KEYFRAME)
            return
        begin_epoch(f, slot, s, p)
    if p.extended < slot.epoch.first_source:
        forward_late(f, slot, p)
    elif slot.layered:
        forward_layer(f, slot, s, p)
    else:
        send_on(f, slot, slot.epoch, p)


cdef inline void send_on(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p) noexcept nogil:
    if not slot.audio and must_wait(f, slot, p):
        wait_in_line(f, slot, e, p)
    else:
        send_now(f, slot, e, p)


cdef void send_now(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p) noexcept nogil:
    cdef transport_t *t = slot.transport
    cdef outgoing_t out
    cdef int64_t extended = p.extended + e.offset
    out.ssrc = slot.ssrc
    out.timestamp = p.timestamp + e.timestamp
    out.index = extended - FIRST_EXTENDED
    out.payload_type = slot.payload_types[p.kind]
    out.original = -1
    out.send_time = send_time(f.now_us)
    out.pad = p.pad
    out.sort = SENT_AUDIO if slot.audio else SENT_VIDEO
    if not slot.has_rtx:
        stamp(slot, t, extended, &out)
    if not send_packet(f, slot, e, p, &out):
        return
    t.resend_budget += p.length
    slot.packets += 1
    slot.bytes += p.length - p.payload
    if extended > slot.highest:
        note_newest(slot, e, p, extended, out.timestamp, f.now_us)


cdef inline uint32_t send_time(uint64_t now_us) noexcept nogil:
    """abs-send-time: seconds as 6.18 fixed point."""
    return <uint32_t>((now_us << 18) // 1000000 & 0xFFFFFF)


cdef inline void note_newest(
    slot_t *slot, epoch_t *e, rtp_t *p, int64_t extended, uint32_t timestamp, uint64_t now_us
) noexcept nogil:
    slot.highest = extended
    slot.last_timestamp = timestamp
    slot.last_us = now_us
    if p.picture_offset:
        slot.has_picture = True
        slot.last_picture = p.picture + e.picture
    if p.layer_offset:
        slot.has_layer = True
        slot.last_layer = p.layer + e.layer
    if p.frame_offset:
        slot.has_frame = True
        slot.last_frame = p.frame + e.frame


cdef void begin_epoch(forwarder_t *f, slot_t *slot, stream_t *s, rtp_t *p) noexcept nogil:
    """The slot goes over to `s` with packet `p`: sequence numbers, picture ids contiguous, time as it passed."""
    cdef epoch_t *e = new_epoch(slot)
    cdef stream_t *before = slot.current
    cdef event_t *event
    cdef int64_t elapsed
    if before != s:
        shed(f, slot)                           # what still waits of the other one is of no use any more
        slot.is_shed = False
    memset(e, 0, sizeof(epoch_t))
    e.stream = s
    e.first_source = p.extended
    if slot.epoch == NULL:
        e.first_out = FIRST_EXTENDED + (p.sequence & 0x7FFF)     # below 2**15: the receiver must guess no rollover
        slot.highest = e.first_out - 1
    else:
        e.first_out = slot.highest + 1
        elapsed = <int64_t>((f.now_us - slot.last_us) * s.clock // 1000000)
        if slot.same_timeline and before == s:
            e.timestamp = slot.epoch.timestamp
        else:
            e.timestamp = slot.last_timestamp + <uint32_t>max(elapsed, 1) - p.timestamp
    e.offset = e.first_out - p.extended
    if slot.has_picture and p.picture_offset:
        e.picture = slot.last_picture + 1 - p.picture
    if slot.has_layer and p.layer_offset:
        e.layer = slot.last_layer + 1 - p.layer
    if slot.has_frame and p.frame_offset:
        e.frame = slot.last_frame + 1 - p.frame
    slot.epoch = e
    slot.resync = slot.same_timeline = False
    begin_layers(slot, e, p)
    if before == s:
        return
    slot.current = s
    if slot.target == s:
        slot.target = NULL
    if before != NULL and before != slot.target:
        remove_follower(before, slot)
    event = new_event(f, EVENT_SWITCHED, slot)
    if event != NULL:
        event.stream = s


cdef inline void stamp(slot_t *slot, transport_t *t, int64_t extended, outgoing_t *out) noexcept nogil:
    """Notes what sending decides, so that a packet without RTX is repeated bit for bit: SRTP allows nothing else."""
    cdef stamp_t *mark
    if slot.stamps == NULL:
        slot.stamps = <stamp_t *>calloc(STAMPS, sizeof(stamp_t))
        if slot.stamps == NULL:
            return
    mark = &slot.stamps[extended & (STAMPS - 1)]
    mark.extended = extended
    mark.send_time = out.send_time
    mark.number = t.send_number
    mark.pad = out.pad


cdef bint send_packet(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p, outgoing_t *out) noexcept nogil:
    """Composes, protects and sends one packet of a slot with the next transport-wide number. False: counted."""
    cdef transport_t *t = slot.transport
    cdef int length
    if out.sort == SENT_PADDING and not may_pad(f, slot, p.length + out.pad):
        return False
    out.number = t.send_number
    length = emit(f, slot, e, p, out)
    if length == 0:
        return False
    remember(t, f.now_us, out.number, length, out.sort)
    t.send_number += 1
    return True


cdef int emit(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p, outgoing_t *out) noexcept nogil:
    """Returns the length of the datagram, 0 when it was dropped."""
    cdef transport_t *t = slot.transport
    cdef bint video = not slot.audio
    cdef uint8_t *data = udp_reserve(p.length + OUT_ROOM)
    cdef int header, length
    if data == NULL:
        drop(f, DROP_TOO_LARGE)
        return 0
    length = compose(data, slot, e, p, out, &header)
    if not protect(t, data, header, out.index, &length):
        drop(f, DROP_PROTECT)
        return 0
    udp_commit(t.socket, &t.selected.remote, &t.selected.local, length)
    pay(&f.uplink, &t.selected.remote, length)
    if out.sort != SENT_PADDING:
        pay(&t.pacer, &t.selected.remote, length)
    t.packets_out += 1
    t.bytes_out += length
    f.packets_out[video] += 1
    f.bytes_out[video] += length
    return length


cdef inline bint needs_two_bytes(transport_t *t, slot_t *slot, rtp_t *p) noexcept nogil:
    cdef int i
    cdef uint8_t identifier
    if (
        t.send_ids[EXT_ABS_SEND_TIME] > 14 or t.send_ids[EXT_TRANSPORT_SEQUENCE] > 14
        or (slot.mid_length and t.send_ids[EXT_MID] > 14)
    ):
        return True
    for i in range(p.extension_count):
        identifier = outgoing_id(t, &p.extensions[i])
        if identifier and (identifier > 14 or not 1 <= p.extensions[i].length <= 16):
            return True
    return False


cdef inline uint8_t outgoing_id(transport_t *t, extension_t *e) noexcept nogil:
    """The receiver's id of an extension passed through; 0 for those ours to write, dropped, or not negotiated."""
    if e.meaning <= EXT_REPAIRED_RID or e.meaning == EXT_ABS_SEND_TIME or e.meaning == EXT_TRANSPORT_SEQUENCE:
        return 0
    return t.send_ids[e.meaning]


cdef inline uint8_t *put_extension(uint8_t *at, bint two_byte, uint8_t identifier, uint8_t length) noexcept nogil:
    if two_byte:
        at[0] = identifier
        at[1] = length
        return at + 2
    at[0] = <uint8_t>(identifier << 4 | (length - 1))
    return at + 1


cdef uint8_t *put_extensions(uint8_t *block, slot_t *slot, epoch_t *epoch, rtp_t *p, outgoing_t *out) noexcept nogil:
    """Writes the extension block at `block` and returns its end, or `block` when there is nothing to write."""
    cdef transport_t *t = slot.transport
    cdef bint two_byte = needs_two_bytes(t, slot, p)
    cdef uint8_t *at = block + 4
    cdef uint8_t identifier
    cdef extension_t *e
    cdef int i
    if t.send_ids[EXT_MID] and slot.mid_length:
        at = put_extension(at, two_byte, t.send_ids[EXT_MID], <uint8_t>slot.mid_length)
        memcpy(at, slot.mid, slot.mid_length)
        at += slot.mid_length
    if t.send_ids[EXT_ABS_SEND_TIME]:
        at = put_extension(at, two_byte, t.send_ids[EXT_ABS_SEND_TIME], 3)
        write24(at, out.send_time)
        at += 3
    if t.send_ids[EXT_TRANSPORT_SEQUENCE]:
        at = put_extension(at, two_byte, t.send_ids[EXT_TRANSPORT_SEQUENCE], 2)
        write16(at, out.number)
        at += 2
    for i in range(p.extension_count):
        e = &p.extensions[i]
        identifier = outgoing_id(t, e)
        if identifier == 0:
            continue
        at = put_extension(at, two_byte, identifier, e.length)
        memcpy(at, p.data + e.offset, e.length)
        if p.frame_offset == e.offset + 1:
            write16(at + 1, p.frame + epoch.frame)
        at += e.length
    if at == block + 4:
        return block
    while (at - block) & 3:
        at[0] = 0
        at += 1
    write16(block, 0x1000 if two_byte else 0xBEDE)
    write16(block + 2, <uint16_t>((at - block - 4) >> 2))
    return at


cdef int compose(uint8_t *data, slot_t *slot, epoch_t *e, rtp_t *p, outgoing_t *out, int *header) noexcept nogil:
    """Writes the whole packet; returns its length and that of its header. CSRCs are not passed on."""
    cdef uint8_t *at = put_extensions(data + RTP_HEADER, slot, e, p, out)
    cdef int shift, size = p.length - p.payload
    cdef uint16_t picture
    data[0] = 0x80 | (0x10 if at != data + RTP_HEADER else 0) | (0x20 if out.pad else 0)
    data[1] = <uint8_t>(ends_picture(e, p) << 7 | out.payload_type)
    write16(data + 2, <uint16_t>(out.index & 0xFFFF))
    write32(data + 4, out.timestamp)
    write32(data + 8, out.ssrc)
    header[0] = <int>(at - data)
    if out.original >= 0:
        write16(at, <uint16_t>out.original)
        at += 2
    memcpy(at, p.data + p.payload, size)
    shift = -p.payload
    if p.picture_offset and e.picture:
        picture = p.picture + e.picture
        if p.picture_wide:
            write16(at + p.picture_offset + shift, 0x8000 | picture)
        else:
            at[p.picture_offset + shift] = picture & 0x7F
    if p.layer_offset and e.layer:
        at[p.layer_offset + shift] = <uint8_t>(p.layer + e.layer)
    at += size
    if out.pad:
        memset(at, 0, out.pad - 1)
        at[out.pad - 1] = out.pad
        at += out.pad
    return <int>(at - data)


cdef bint may_resend(slot_t *slot, int64_t extended, uint64_t now_us) noexcept nogil:
    """Whether this packet was not repeated within a round trip, 20 ms at least; notes that it is now."""
    cdef uint32_t now_ms = <uint32_t>(now_us // 1000)
    cdef path_t *path = slot.transport.path
    cdef uint32_t apart_ms = max(<uint32_t>RESEND_MS, path.rtt_us // 1000 if path != NULL else 0)
    cdef resend_t *r
    if slot.resends == NULL:
        slot.resends = <resend_t *>calloc(RESENDS, sizeof(resend_t))
        if slot.resends == NULL:
            return False
    r = &slot.resends[extended & (RESENDS - 1)]
    if r.number == <uint32_t>extended and now_ms - r.at_ms < min(apart_ms, <uint32_t>MAX_RESEND_MS):
        return False
    r.number = <uint32_t>extended
    r.at_ms = now_ms
    return True


cdef bint has_budget(forwarder_t *f, transport_t *t) noexcept nogil:
    """Whether more may be repeated to this receiver: so NACKs about double what it is sent, and no more."""
    cdef uint64_t passed_us = min(f.now_us - t.resend_filled_us, <uint64_t>60000000)
    cdef int64_t filled = <int64_t>(passed_us * RESEND_FLOOR_BYTES // 1000000)
    if filled > 0:
        t.resend_filled_us = f.now_us
    t.resend_budget = min(t.resend_budget + filled, <int64_t>C_RESEND_BURST)
    return t.resend_budget > 0


cdef epoch_t *find_epoch(slot_t *slot, int64_t extended) noexcept nogil:
    """The epoch that a packet sent with this number belongs to; NULL: forgotten, or a picture before the last switch.

    A switch begins with a keyframe, which needs nothing of before: to repeat that would only keep it waiting.
    """
    cdef epoch_t *e
    cdef uint32_t age
    for age in range(min(slot.epoch_count, slot.epoch_room)):
        e = &slot.epochs[(slot.epoch_count - 1 - age) & (slot.epoch_room - 1)]
        if extended >= e.first_out:
            return e
        if not (e.continues or slot.audio):
            return NULL
    return NULL


cdef bint retransmit_packet(forwarder_t *f, slot_t *slot, uint16_t sequence) noexcept nogil:
    """Answers one lost packet. True: it was found (also when it is too early to send it again)."""
    cdef transport_t *t = slot.transport
    cdef int64_t extended = slot.highest + <int16_t>(sequence - <uint16_t>(slot.highest & 0xFFFF))
    cdef epoch_t *e
    cdef rtp_t p
    if t == NULL or t.outbound == NULL or t.socket == NULL or extended > slot.highest:
        return False
    e = find_epoch(slot, extended)
    if e == NULL:
        return False
    if not has_budget(f, t):
        drop(f, DROP_RESEND_BUDGET)
        return False
    if not may_repair(f, slot) or e.stream == NULL or not recall(e.stream, extended - e.offset, &p):
        return False
    if not is_wanted(e, &p):
        hollow(&p)
    return repeat(f, slot, e, &p, extended)


cdef bint send_rtx(
    forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p, int64_t extended, uint8_t sort
) noexcept nogil:
    """RFC 4588: sends the packet once more, in the RTX stream."""
    cdef outgoing_t out
    out.ssrc = slot.rtx_ssrc
    out.timestamp = p.timestamp + e.timestamp
    out.payload_type = slot.rtx_payload_types[p.kind]
    out.index = slot.rtx_packets
    out.original = <uint16_t>(extended & 0xFFFF)
    out.send_time = send_time(f.now_us)
    out.pad = 0
    out.sort = sort
    if not send_packet(f, slot, e, p, &out):
        return False
    slot.rtx_packets += 1
    return True


cdef bint repeat(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p, int64_t extended) noexcept nogil:
    cdef outgoing_t out
    cdef stamp_t *mark
    if slot.has_rtx and slot.rtx_payload_types[p.kind] != NO_PAYLOAD:
        if not may_resend(slot, extended, f.now_us) or not send_rtx(f, slot, e, p, extended, SENT_REPAIR):
            return True
    else:
        mark = &slot.stamps[extended & (STAMPS - 1)] if slot.stamps != NULL else NULL
        if mark == NULL or mark.extended != extended or slot.payload_types[p.kind] == NO_PAYLOAD:
            return False
        if not may_resend(slot, extended, f.now_us):
            return True
        out.ssrc = slot.ssrc
        out.timestamp = p.timestamp + e.timestamp
        out.payload_type = slot.payload_types[p.kind]
        out.index = extended - FIRST_EXTENDED
        out.original = -1
        out.send_time = mark.send_time
        out.number = mark.number
        out.pad = mark.pad
        forget_sent(slot.transport, out.number)
        if not emit(f, slot, e, p, &out):
            return True
    slot.transport.resend_budget -= p.length
    slot.retransmitted += 1
    f.retransmitted += 1
    return True
