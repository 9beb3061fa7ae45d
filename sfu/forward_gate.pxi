# The gate of a room's audio: while it has a limit, only the streams that have one of its seats go on. Levels and voice
# activity are those of RFC 6464; a stream without them always goes on. tests/sfu/gate_model.py says the same plainly.


cdef inline bint is_speech(uint8_t level) noexcept nogil:
    """Loud enough, and called voice by its sender; some senders never do, so what is louder needs no such word."""
    return (level & 0x7F) <= (SPEECH_LEVEL if level & 0x80 else LOUD_LEVEL)


cdef bint admit(gate_t *g, stream_t *s, uint8_t level, uint64_t now_us) noexcept nogil:
    """Whether a packet of this level goes on; speech takes a seat with its first packet."""
    cdef stream_t *leaver
    s.loudness += ((level & 0x7F) * 16 - s.loudness) >> 3
    if is_speech(level):
        s.spoke_us = now_us
    if s.seated or g.limit == 0:
        return True
    if g.count >= g.limit:
        leaver = who_yields(g, level & 0x7F, now_us) if s.spoke_us == now_us else NULL
        if leaver == NULL:
            return False
        unseat(leaver)
    g.seats[g.count] = s
    g.count += 1
    s.seated = True
    s.seated_us = now_us
    return True


cdef stream_t *who_yields(gate_t *g, int level, uint64_t now_us) noexcept nogil:
    """Who has been silent longest, and for HOLD_US; else the quietest that has had its turn, when `level` beats it."""
    cdef stream_t *silent = g.seats[0]
    cdef stream_t *quietest = NULL
    cdef stream_t *s
    cdef int i
    for i in range(g.count):
        s = g.seats[i]
        if s.spoke_us < silent.spoke_us:
            silent = s
        if now_us - s.seated_us >= HOLD_US and (quietest == NULL or s.loudness > quietest.loudness):
            quietest = s
    if now_us - silent.spoke_us >= HOLD_US:
        return silent
    if quietest != NULL and (level + LOUDER_DB) * 16 <= quietest.loudness:
        return quietest
    return NULL


cdef void unseat(stream_t *s) noexcept nogil:
    cdef gate_t *g = s.gate
    cdef int i
    if g == NULL or not s.seated:
        return
    s.seated = False
    for i in range(g.count):
        if g.seats[i] == s:
            g.count -= 1
            g.seats[i] = g.seats[g.count]
            return


cdef bint pass_gate(forwarder_t *f, stream_t *s, rtp_t *p) noexcept nogil:
    """False: the packet stays here, counted."""
    cdef extension_t *level = find_extension(p, EXT_AUDIO_LEVEL)
    if level != NULL and level.length >= 1 and not admit(s.gate, s, p.data[level.offset], f.now_us):
        s.shut = True
        drop(f, DROP_NOT_LOUDEST)
        return False
    if s.shut:
        reopen(s)
    return True


cdef void reopen(stream_t *s) noexcept nogil:
    """Slots begin an epoch that closes the gap; the timeline is still the source's."""
    cdef slot_t *slot
    cdef int i
    s.shut = False
    for i in range(s.follower_count):
        slot = s.followers[i]
        if slot.current == s and not slot.resync:
            slot.resync = slot.same_timeline = True


cdef class Gate:
    """The seats of a room's audio; see forward.pyi."""

    cdef gate_t *g

    def __cinit__(self, int limit=0):
        self.g = <gate_t *>calloc(1, sizeof(gate_t))
        if self.g == NULL:
            raise MemoryError
        self.limit = limit

    def __dealloc__(self):
        free(self.g)

    @property
    def limit(self):
        """How many streams have a seat; 0: everybody goes on."""
        return self.g.limit

    @limit.setter
    def limit(self, int value):
        cdef stream_t *silent
        cdef int i
        if not 0 <= value <= C_MAX_SEATS:
            raise ValueError(f"a gate has 0 to {C_MAX_SEATS} seats")
        self.g.limit = value
        while self.g.count > value:
            silent = self.g.seats[0]
            for i in range(self.g.count):
                if self.g.seats[i].spoke_us < silent.spoke_us:
                    silent = self.g.seats[i]
            unseat(silent)

    def seated(self):
        """The streams that have a seat, in no order."""
        return [<object>self.g.seats[i].object for i in range(self.g.count)]
