# The host's uplink: a token bucket over every datagram of the media port, headers counted, that video waits for.
#
# Nothing else waits: audio, RTCP, STUN and DTLS go at once and leave the bucket in debt, which video pays. Repairs
# may borrow a little, else they are dropped: the receiver asks again. Padding needs room and no queue. What waits is
# a place in a stream's packet cache, not a packet: it is composed, numbered and protected when it goes, so a
# receiver's delay estimate sees its own path and not our queue, and what is dropped leaves no gap. Within a slot
# order is kept; higher priorities go first. Who has waited for MAX_UPLINK_WAIT_US loses all that waits of its slot
# and goes on with a keyframe, once the queue is short.
#
# Any second carries at most the budget and UPLINK_BURST_US and UPLINK_DEBT_US of it (3.5 %), as long as what never
# waits is less than the budget.


cdef uint32_t V4_MAPPED = htonl(0xFFFF)     # what stands before an IPv4 address in an endpoint's `low`


cdef inline int64_t uplink_cost(const endpoint_t *remote, int64_t length) noexcept nogil:
    """In credit units (bits times a million)."""
    cdef bint v6 = remote.high != 0 or memcmp(&remote.low, &V4_MAPPED, 4) != 0
    return (length + (IPV6_UDP_BYTES if v6 else IPV4_UDP_BYTES)) * 8000000


cdef inline void charge(forwarder_t *f, const endpoint_t *remote, int64_t length) noexcept nogil:
    """Something went out. A debt is at most a second's worth."""
    if f.uplink.bps:
        f.uplink.credit = max(f.uplink.credit - uplink_cost(remote, length), -1000000 * f.uplink.bps)


cdef void fill_uplink(forwarder_t *f) noexcept nogil:
    cdef uplink_t *u = &f.uplink
    cdef int64_t passed_us = <int64_t>(f.now_us - u.filled_us)
    if passed_us > 0:
        u.credit = min(u.credit + min(passed_us, <int64_t>1000000) * u.bps, UPLINK_BURST_US * u.bps)
        u.filled_us = f.now_us


cdef inline bint has_credit(forwarder_t *f, const endpoint_t *remote, int64_t length) noexcept nogil:
    """Whether a packet may go; where the bucket holds less than a packet, a full bucket does."""
    return f.uplink.credit >= min(uplink_cost(remote, length), UPLINK_BURST_US * f.uplink.bps)


cdef inline uint64_t uplink_wait_us(forwarder_t *f) noexcept nogil:
    """How long what waits will need."""
    return f.uplink.bytes * 8000000 // <uint64_t>f.uplink.bps if f.uplink.bps else 0


cdef inline bint is_short(uint64_t wait_us) noexcept nogil:
    return 2 * wait_us < UPLINK_FULL_US


cdef inline bint must_wait(forwarder_t *f, slot_t *slot, rtp_t *p) noexcept nogil:
    """Whether a video packet has to stand in line."""
    if f.uplink.bps == 0:
        return False
    fill_uplink(f)
    return f.uplink.count > 0 or not has_credit(f, &slot.transport.selected.remote, p.length + OUT_ROOM)


cdef bint may_repair(forwarder_t *f) noexcept nogil:
    """Whether a lost packet may be repeated; counted when not."""
    if f.uplink.bps == 0:
        return True
    fill_uplink(f)
    if f.uplink.credit > -UPLINK_DEBT_US * f.uplink.bps:
        return True
    drop(f, DROP_UPLINK)
    return False


cdef bint may_pad(forwarder_t *f, slot_t *slot, int length) noexcept nogil:
    if f.uplink.bps == 0:
        return True
    fill_uplink(f)
    if f.uplink.count == 0 and has_credit(f, &slot.transport.selected.remote, length + OUT_ROOM):
        return True
    drop(f, DROP_UPLINK)
    return False


cdef void wait_for_uplink(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p) noexcept nogil:
    """Puts a packet of the stream's cache in line; its numbers are the slot's next all the same."""
    cdef uplink_t *u = &f.uplink
    cdef int64_t extended = p.extended + e.offset
    cdef waiting_t *w
    if u.free == NULL:
        shed_lowest(f, slot.priority)
        if slot.resync or u.free == NULL:
            drop(f, DROP_UPLINK)
            return
    if slot.waiting == 0:
        slot.sent_highest = slot.highest
        slot.line = slot.priority
    w = u.free
    u.free = w.next
    w.next = NULL
    w.slot = slot
    w.epoch = e[0]
    w.source = p.extended
    w.pad = p.pad
    w.length = p.length + OUT_ROOM
    w.queued_us = f.now_us
    if u.first[slot.line] == NULL:
        u.first[slot.line] = w
    else:
        u.last[slot.line].next = w
    u.last[slot.line] = w
    slot.waiting += 1
    u.count += 1
    u.bytes += w.length
    if extended > slot.highest:
        note_newest(slot, e, p, extended, p.timestamp + e.timestamp, f.now_us)
    tell_uplink(f)


cdef void tell_uplink(forwarder_t *f) noexcept nogil:
    """Events: something has begun to wait; it waits long."""
    cdef uplink_t *u = &f.uplink
    cdef uint64_t wait_us = uplink_wait_us(f)
    if u.count == 1:
        u.drained_us = f.now_us
        new_event(f, EVENT_UPLINK_WAITS, NULL)
    if wait_us >= UPLINK_FULL_US and not u.told_full:
        u.told_full = new_event(f, EVENT_UPLINK_FULL, NULL) != NULL
    elif is_short(wait_us):
        u.told_full = False


cdef waiting_t *leave_line(forwarder_t *f, int line) noexcept nogil:
    """Takes the first out of its line; the node is free from now on, and stays readable until the next one waits."""
    cdef uplink_t *u = &f.uplink
    cdef waiting_t *w = u.first[line]
    u.first[line] = w.next
    w.next = u.free
    u.free = w
    w.slot.waiting -= 1
    u.count -= 1
    u.bytes -= w.length
    return w


cdef void send_waiting_packet(forwarder_t *f, waiting_t *w) noexcept nogil:
    cdef slot_t *slot = w.slot
    cdef transport_t *t = slot.transport
    cdef rtp_t p
    if t.outbound == NULL or t.socket == NULL:
        drop(f, DROP_NO_PATH)
        return
    if not recall(w.epoch.stream, w.source, &p) or slot.payload_types[p.kind] == NO_PAYLOAD:
        drop(f, DROP_UPLINK)
        return
    p.pad = w.pad
    if not is_wanted(&w.epoch, &p):
        hollow(&p)
    send_now(f, slot, &w.epoch, &p)
    slot.sent_highest = max(slot.sent_highest, w.source + w.epoch.offset)


cdef void take_back_numbers(slot_t *slot, waiting_t *w) noexcept nogil:
    """Neither `w` nor what waits behind it will go: the next picture has the numbers they would have had."""
    cdef epoch_t *e = &w.epoch
    cdef bint begins
    cdef rtp_t p
    cdef rtp_t before
    if not recall(e.stream, w.source, &p):
        return
    begins = not recall(e.stream, w.source - 1, &before) or before.timestamp != p.timestamp
    slot.last_picture = <uint16_t>(p.picture + e.picture - begins)
    slot.last_layer = <uint8_t>(p.layer + e.layer - (begins and p.temporal == 0))
    slot.last_frame = <uint16_t>(p.frame + e.frame - begins)


cdef void shed(forwarder_t *f, slot_t *slot) noexcept nogil:
    """Drops all that waits of a slot: it has used no number, of packet or picture. The slot goes on with a keyframe."""
    cdef uplink_t *u = &f.uplink
    cdef waiting_t **link = &u.first[slot.line]
    cdef waiting_t *last = NULL
    cdef waiting_t *w
    cdef bint taken_back = False
    while link[0] != NULL:
        w = link[0]
        if w.slot != slot:
            last = w
            link = &w.next
            continue
        if not taken_back:
            taken_back = True
            take_back_numbers(slot, w)
        link[0] = w.next
        w.next = u.free
        u.free = w
        u.count -= 1
        u.bytes -= w.length
        drop(f, DROP_UPLINK)
    u.last[slot.line] = last
    if slot.waiting:
        slot.waiting = 0
        slot.highest = slot.sent_highest
        slot.resync = slot.current != NULL
        slot.is_shed = slot.resync


cdef void shed_lowest(forwarder_t *f, int priority) noexcept nogil:
    """Makes room for a packet of this priority, at the expense of the lowest that is not above it."""
    cdef int line
    for line in range(priority + 1):
        if f.uplink.first[line] != NULL:
            shed(f, f.uplink.first[line].slot)
            return


cdef bint is_held_back(forwarder_t *f, slot_t *slot) noexcept nogil:
    """Whether a slot that was shed still has to keep silent; counted."""
    if f.uplink.bps == 0 or is_short(uplink_wait_us(f)):
        slot.is_shed = False
        return False
    drop(f, DROP_UPLINK)
    return True


cdef void drain_uplink(forwarder_t *f) noexcept nogil:
    """Sends what there is room for, highest priority first, and sheds what has waited too long."""
    cdef uplink_t *u = &f.uplink
    cdef int line = UPLINK_LINES - 1
    cdef waiting_t *w
    fill_uplink(f)
    u.drained_us = f.now_us
    while line >= 0:
        w = u.first[line]
        if w == NULL:
            line -= 1
        elif f.now_us > w.queued_us + MAX_UPLINK_WAIT_US:
            shed(f, w.slot)
        elif u.bps and not has_credit(f, &w.slot.transport.selected.remote, w.length):
            line -= 1                           # lower ones have no room either, but may have waited too long
        else:
            send_waiting_packet(f, leave_line(f, line))


cdef int set_uplink(forwarder_t *f, int64_t bps) except -1:
    """A new budget; without one all that waits goes."""
    cdef uplink_t *u = &f.uplink
    cdef int i
    if bps and u.nodes == NULL:
        u.nodes = <waiting_t *>calloc(C_MAX_UPLINK_PACKETS, sizeof(waiting_t))
        if u.nodes == NULL:
            raise MemoryError
        for i in range(C_MAX_UPLINK_PACKETS):
            u.nodes[i].next = u.free
            u.free = &u.nodes[i]
    u.credit = min(u.credit, UPLINK_BURST_US * bps) if u.bps else UPLINK_BURST_US * bps
    u.bps = bps
    u.filled_us = f.now_us
    if bps == 0:
        drain_uplink(f)
        udp_flush()
        free(u.nodes)
        u.nodes = u.free = NULL
    return 0
