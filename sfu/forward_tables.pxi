# What is looked up in that state: the route of a 5-tuple, an SSRC, who follows a stream; and events for Python.


cdef inline void drop(forwarder_t *f, int reason) noexcept nogil:
    f.drops[reason] += 1


cdef inline uint32_t route_hash(forwarder_t *f, const endpoint_t *remote, const endpoint_t *local) noexcept nogil:
    return <uint32_t>(turnd_mix(endpoint_hash(remote, f.seed), endpoint_hash(local, f.seed)) & (f.route_room - 1))


cdef transport_t *find_route(forwarder_t *f, const endpoint_t *remote, const endpoint_t *local) noexcept nogil:
    cdef uint32_t i
    cdef route_t *r
    if f.route_count == 0:
        return NULL
    i = route_hash(f, remote, local)
    while True:
        r = &f.routes[i]
        if r.transport == NULL:
            return NULL
        if endpoint_equal(&r.pair.remote, remote) and endpoint_equal(&r.pair.local, local):
            return r.transport
        i = (i + 1) & (f.route_room - 1)


cdef int put_route(forwarder_t *f, const pair_t *pair, transport_t *t) except -1:
    """Adds a route that is not there yet; the table stays at most half full."""
    cdef route_t *old = f.routes
    cdef uint32_t room = f.route_room, i
    if f.routes == NULL or 2 * (f.route_count + 1) > f.route_room:
        f.routes = <route_t *>calloc(max(64, 2 * room), sizeof(route_t))
        if f.routes == NULL:
            f.routes = old
            raise MemoryError
        f.route_room = max(64, 2 * room)
        f.route_count = 0
        for i in range(room):
            if old[i].transport != NULL:
                put_route(f, &old[i].pair, old[i].transport)
        free(old)
    i = route_hash(f, &pair.remote, &pair.local)
    while f.routes[i].transport != NULL:
        i = (i + 1) & (f.route_room - 1)
    f.routes[i].pair = pair[0]
    f.routes[i].transport = t
    f.route_count += 1
    return 0


cdef void remove_route(forwarder_t *f, const pair_t *pair) noexcept nogil:
    cdef uint32_t mask = f.route_room - 1, i, hole, home
    cdef route_t *r
    if f.route_count == 0:
        return
    i = route_hash(f, &pair.remote, &pair.local)
    while True:
        r = &f.routes[i]
        if r.transport == NULL:
            return
        if endpoint_equal(&r.pair.remote, &pair.remote) and endpoint_equal(&r.pair.local, &pair.local):
            break
        i = (i + 1) & mask
    hole = i
    while True:                     # close the gap: entries behind it that would no longer be found move up
        i = (i + 1) & mask
        r = &f.routes[i]
        if r.transport == NULL:
            break
        home = route_hash(f, &r.pair.remote, &r.pair.local)
        if ((i - home) & mask) >= ((i - hole) & mask):
            f.routes[hole] = r[0]
            hole = i
    f.routes[hole].transport = NULL
    f.route_count -= 1


cdef event_t *new_event(forwarder_t *f, int kind, void *subject) noexcept nogil:
    """A cleared event, or NULL when too many wait (counted)."""
    cdef event_t *e
    if f.event_count == MAX_EVENTS:
        drop(f, DROP_EVENT_OVERFLOW)
        return NULL
    e = &f.events[f.event_count]
    memset(e, 0, sizeof(event_t))
    e.event = kind
    e.subject = subject
    f.event_count += 1
    (<Receiver>f.object).wake()
    return e


cdef void forget_events(forwarder_t *f, void *subject) noexcept nogil:
    cdef int i
    for i in range(f.event_count):
        if f.events[i].subject == subject or f.events[i].stream == subject:
            f.events[i].event = EVENT_NONE


cdef ssrc_t *find_ssrc(transport_t *t, uint32_t ssrc) noexcept nogil:
    cdef int i
    if t.last_ssrc < t.ssrc_count and t.ssrcs[t.last_ssrc].ssrc == ssrc:
        return &t.ssrcs[t.last_ssrc]
    for i in range(t.ssrc_count):
        if t.ssrcs[i].ssrc == ssrc:
            t.last_ssrc = i
            return &t.ssrcs[i]
    return NULL


cdef ssrc_t *expired_ssrc(transport_t *t) noexcept nogil:
    """At the bound: an entry that may be forgotten."""
    cdef int i
    for i in range(t.ssrc_count):
        if t.ssrcs[i].stream == NULL and t.f.now_us - t.ssrcs[i].seen_us >= SSRC_EXPIRY_US:
            return &t.ssrcs[i]
    return NULL


cdef ssrc_t *new_ssrc(transport_t *t, uint32_t ssrc) noexcept nogil:
    """An entry for an SSRC not seen before, in place of a forgotten one at the bound; NULL when there is no room."""
    cdef ssrc_t *entry = NULL
    cdef ssrc_t *grown
    cdef int room
    if t.ssrc_count == C_MAX_SSRCS:
        entry = expired_ssrc(t)
        if entry == NULL:
            return NULL
        if t.inbound != NULL:
            srtp_remove_stream(t.inbound, htonl(entry.ssrc))
    else:
        if t.ssrc_count == t.ssrc_room:
            room = 2 * t.ssrc_room if t.ssrc_room else 8
            grown = <ssrc_t *>realloc(t.ssrcs, room * sizeof(ssrc_t))
            if grown == NULL:
                return NULL
            t.ssrcs = grown
            t.ssrc_room = room
        entry = &t.ssrcs[t.ssrc_count]
        t.ssrc_count += 1
    memset(entry, 0, sizeof(ssrc_t))
    entry.ssrc = ssrc
    entry.role = ROLE_UNKNOWN
    entry.seen_us = t.f.now_us
    return entry


cdef int add_follower(stream_t *s, slot_t *slot) except -1 nogil:
    cdef int i, room
    cdef slot_t **grown
    for i in range(s.follower_count):
        if s.followers[i] == slot:
            return 0
    if s.follower_count == s.follower_room:
        room = 2 * s.follower_room if s.follower_room else 4
        grown = <slot_t **>realloc(s.followers, room * sizeof(slot_t *))
        if grown == NULL:
            with gil:
                raise MemoryError
        s.followers = grown
        s.follower_room = room
    s.followers[s.follower_count] = slot
    s.follower_count += 1
    return 0


cdef void remove_follower(stream_t *s, slot_t *slot) noexcept nogil:
    cdef int i
    for i in range(s.follower_count):
        if s.followers[i] == slot:
            s.follower_count -= 1
            memmove(s.followers + i, s.followers + i + 1, (s.follower_count - i) * sizeof(slot_t *))
            return
