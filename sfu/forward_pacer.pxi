# Pacers: token buckets that video waits for, one of the host's uplink, one of each path that is short of bits.
#
# The uplink's counts every datagram of the media port, headers too; a path's counts its media. Nothing else waits:
# audio, RTCP, STUN and DTLS go at once and leave the bucket in debt, which video pays. Repairs of video may borrow a
# little, else they are dropped: the receiver asks again. Padding needs room and no queue at the uplink; a path's
# probes exceed what is believed of it, so they are not counted there. What waits is a place in a stream's packet
# cache, not a packet: it is composed, numbered and protected when it goes, so a receiver's delay estimate sees its own
# path and not our queue, and what is dropped leaves no gap. Within a slot order is kept; higher priorities go first.
# Who has waited for too long loses all that waits of its slot and goes on with a keyframe, once the queue is short.
#
# Any second carries at most the uplink's budget and PACER_BURST_US and UPLINK_DEBT_US of it (3.5 %), as long as what
# never waits is less than the budget.


cdef uint32_t V4_MAPPED = htonl(0xFFFF)     # what stands before an IPv4 address in an endpoint's `low`


cdef inline int64_t wire_cost(const endpoint_t *remote, int64_t length) noexcept nogil:
    """In credit units (bits times a million)."""
    cdef bint v6 = remote.high != 0 or memcmp(&remote.low, &V4_MAPPED, 4) != 0
    return (length + (IPV6_UDP_BYTES if v6 else IPV4_UDP_BYTES)) * 8000000


cdef inline void pay(pacer_t *u, const endpoint_t *remote, int64_t length) noexcept nogil:
    """Something went out. A debt is at most a second's worth."""
    if u.bps:
        u.credit = max(u.credit - wire_cost(remote, length), -1000000 * u.bps)


cdef inline void fill(pacer_t *u, uint64_t now_us) noexcept nogil:
    cdef int64_t passed_us = <int64_t>(now_us - u.filled_us)
    if passed_us > 0:
        u.credit = min(u.credit + min(passed_us, <int64_t>1000000) * u.bps, PACER_BURST_US * u.bps)
        u.filled_us = now_us


cdef inline bint has_credit(const pacer_t *u, const endpoint_t *remote, int64_t length) noexcept nogil:
    """Whether a packet may go; where the bucket holds less than a packet, a full bucket does."""
    return u.bps == 0 or u.credit >= min(wire_cost(remote, length), PACER_BURST_US * u.bps)


cdef inline uint64_t wait_us(const pacer_t *u) noexcept nogil:
    """How long what waits will need."""
    return u.bytes * 8000000 // <uint64_t>u.bps if u.bps else 0


cdef inline bint is_short(uint64_t us) noexcept nogil:
    return 2 * us < UPLINK_FULL_US


cdef inline bint is_free(forwarder_t *f, pacer_t *u, const endpoint_t *remote, int length) noexcept nogil:
    """Whether nobody stands in line and a packet may go."""
    if u.bps == 0:
        return u.count == 0
    fill(u, f.now_us)
    return u.count == 0 and has_credit(u, remote, length)


cdef inline bint must_wait(forwarder_t *f, slot_t *slot, rtp_t *p) noexcept nogil:
    """Whether a video packet has to stand in line."""
    cdef transport_t *t = slot.transport
    if slot.waiting:
        return True
    return not (
        is_free(f, &t.pacer, &t.selected.remote, p.length + OUT_ROOM)
        and is_free(f, &f.uplink, &t.selected.remote, p.length + OUT_ROOM)
    )


cdef inline bint may_owe(forwarder_t *f, pacer_t *u, int64_t debt_us) noexcept nogil:
    if u.bps == 0:
        return True
    fill(u, f.now_us)
    return u.credit > -debt_us * u.bps


cdef bint may_repair(forwarder_t *f, slot_t *slot) noexcept nogil:
    """Whether a lost packet may be repeated; counted when not."""
    if not may_owe(f, &f.uplink, UPLINK_DEBT_US):
        drop(f, DROP_UPLINK)
        return False
    if not (slot.audio or may_owe(f, &slot.transport.pacer, PATH_DEBT_US)):
        drop(f, DROP_PATH)
        return False
    return True


cdef bint may_pad(forwarder_t *f, slot_t *slot, int length) noexcept nogil:
    if is_free(f, &f.uplink, &slot.transport.selected.remote, length + OUT_ROOM):
        return True
    drop(f, DROP_UPLINK)
    return False


cdef inline int overflow(const pacer_t *u) noexcept nogil:
    """What a packet that waited in vain is counted as."""
    return DROP_UPLINK if u.transport == NULL else DROP_PATH


cdef inline void release(forwarder_t *f, pacer_t *u, waiting_t *w) noexcept nogil:
    """The node is free from now on, and stays readable until the next one waits."""
    w.next = f.free_nodes
    f.free_nodes = w
    f.waiting -= 1
    u.count -= 1
    u.bytes -= w.length


cdef void wait_in_line(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p) noexcept nogil:
    """Puts a packet of the stream's cache in line; its numbers are the slot's next all the same."""
    cdef transport_t *t = slot.transport
    cdef int64_t extended = p.extended + e.offset
    cdef waiting_t *w
    if slot.waiting == 0:
        slot.pacer = &t.pacer if t.pacer.bps or t.pacer.count else &f.uplink
        slot.sent_highest = slot.highest
        slot.line = slot.priority
    if f.free_nodes == NULL:
        shed_lowest(f, slot.pacer, slot.priority)
        if slot.resync or f.free_nodes == NULL:
            drop(f, overflow(slot.pacer))
            return
    w = f.free_nodes
    f.free_nodes = w.next
    w.next = NULL
    w.slot = slot
    w.epoch = e[0]
    w.source = p.extended
    w.pad = p.pad
    w.length = p.length + OUT_ROOM
    w.queued_us = f.now_us
    join_line(f, slot.pacer, w)
    if extended > slot.highest:
        note_newest(slot, e, p, extended, p.timestamp + e.timestamp, f.now_us)
    if slot.pacer == &f.uplink:
        tell_uplink(f)


cdef void join_line(forwarder_t *f, pacer_t *u, waiting_t *w) noexcept nogil:
    cdef int line = w.slot.line
    if u.first[line] == NULL:
        u.first[line] = w
    else:
        u.last[line].next = w
    u.last[line] = w
    w.slot.waiting += 1
    u.count += 1
    u.bytes += w.length
    if u.transport != NULL and not u.listed:
        u.listed = True
        u.next = f.paths
        f.paths = u
    f.waiting += 1
    if f.waiting == 1:
        f.drained_us = f.now_us
        new_event(f, EVENT_WAITING, NULL)


cdef void tell_uplink(forwarder_t *f) noexcept nogil:
    """An event when what waits for the uplink waits long."""
    cdef uint64_t us = wait_us(&f.uplink)
    if us >= UPLINK_FULL_US and not f.told_full:
        f.told_full = new_event(f, EVENT_UPLINK_FULL, NULL) != NULL
    elif is_short(us):
        f.told_full = False


cdef waiting_t *leave_line(forwarder_t *f, pacer_t *u, int line) noexcept nogil:
    """Takes the first out of its line."""
    cdef waiting_t *w = u.first[line]
    u.first[line] = w.next
    w.slot.waiting -= 1
    release(f, u, w)
    return w


cdef void send_waiting_packet(forwarder_t *f, waiting_t *w) noexcept nogil:
    cdef slot_t *slot = w.slot
    cdef transport_t *t = slot.transport
    cdef rtp_t p
    if t.outbound == NULL or t.socket == NULL:
        drop(f, DROP_NO_PATH)
        return
    if not recall(w.epoch.stream, w.source, &p) or slot.payload_types[p.kind] == NO_PAYLOAD:
        drop(f, overflow(slot.pacer))
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
    cdef pacer_t *u = slot.pacer
    cdef waiting_t **link
    cdef waiting_t *last = NULL
    cdef waiting_t *w
    cdef bint taken_back = False
    if slot.waiting == 0:
        return
    link = &u.first[slot.line]
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
        release(f, u, w)
        drop(f, overflow(u))
    u.last[slot.line] = last
    slot.waiting = 0
    slot.highest = slot.sent_highest
    slot.resync = slot.current != NULL
    slot.is_shed = slot.resync


cdef void shed_lowest(forwarder_t *f, pacer_t *u, int priority) noexcept nogil:
    """Makes room for a packet of this priority, at the expense of the lowest that is not above it."""
    cdef int line
    for line in range(priority + 1):
        if u.first[line] != NULL:
            shed(f, u.first[line].slot)
            return


cdef bint is_held_back(forwarder_t *f, slot_t *slot) noexcept nogil:
    """Whether a slot that was shed still has to keep silent; counted."""
    if is_short(wait_us(slot.pacer)):
        slot.is_shed = False
        return False
    drop(f, overflow(slot.pacer))
    return True


cdef void drain_pacer(forwarder_t *f, pacer_t *u) noexcept nogil:
    """Sends what there is room for, highest priority first, and sheds what has waited too long."""
    cdef uint64_t patience_us = MAX_UPLINK_WAIT_US if u.transport == NULL else MAX_PATH_WAIT_US
    cdef int line = PACER_LINES - 1
    cdef const endpoint_t *remote
    cdef waiting_t *w
    fill(u, f.now_us)
    while line >= 0:
        w = u.first[line]
        if w == NULL:
            line -= 1
            continue
        remote = &w.slot.transport.selected.remote
        if f.now_us > w.queued_us + patience_us:
            shed(f, w.slot)
        elif has_credit(u, remote, w.length) and has_credit(&f.uplink, remote, w.length):
            send_waiting_packet(f, leave_line(f, u, line))
        else:
            line -= 1                           # lower ones have no room either, but may have waited too long


cdef void drain(forwarder_t *f) noexcept nogil:
    """Sends what has room by now: paths first, each of which takes no more than it is believed to carry."""
    cdef pacer_t **link = &f.paths
    cdef pacer_t *u
    f.drained_us = f.now_us
    fill(&f.uplink, f.now_us)
    while link[0] != NULL:
        u = link[0]
        drain_pacer(f, u)
        if u.count:
            link = &u.next
        else:
            link[0] = u.next
            u.listed = False
    drain_pacer(f, &f.uplink)


cdef void unlist(forwarder_t *f, pacer_t *u) noexcept nogil:
    """A path is no more; nothing waits of it."""
    cdef pacer_t **link = &f.paths
    while link[0] != NULL:
        if link[0] == u:
            link[0] = u.next
            break
        link = &link[0].next
    u.listed = False


cdef int set_pace(forwarder_t *f, pacer_t *u, int64_t bps) except -1:
    """Another rate; with none, all goes that waits of it alone."""
    cdef int i
    if bps and f.nodes == NULL:
        f.nodes = <waiting_t *>calloc(C_MAX_WAITING, sizeof(waiting_t))
        if f.nodes == NULL:
            raise MemoryError
        for i in range(C_MAX_WAITING):
            f.nodes[i].next = f.free_nodes
            f.free_nodes = &f.nodes[i]
    if u.bps:
        fill(u, f.now_us)
        u.credit = min(u.credit, PACER_BURST_US * bps)
    else:
        u.credit = PACER_BURST_US * bps
    u.bps = bps
    u.filled_us = f.now_us
    if bps == 0:
        drain(f)
        udp_flush()
    return 0
