# The dependency descriptor (AV1 RTP v1.0, appendix A): what sfu.dependency says in plain Python.


cdef struct bits_t:
    const uint8_t *data
    int at
    int end
    bint cut                        # more was asked for than there is


cdef struct template_t:
    uint8_t spatial
    uint8_t temporal
    uint8_t reach                   # the largest difference of frame numbers
    uint32_t present                # masks of decode targets
    uint32_t switches


cdef struct structure_t:
    uint8_t offset
    uint8_t targets
    uint8_t count
    uint8_t chains
    uint8_t top                     # highest temporal layer of a decode target
    uint8_t sized                   # spatial layers with a size
    template_t templates[MAX_TEMPLATES]
    uint8_t target_spatial[MAX_TARGETS]
    uint8_t target_temporal[MAX_TARGETS]
    uint16_t widths[MAX_SPATIAL]    # minus 1
    uint16_t heights[MAX_SPATIAL]


cdef struct dependencies_t:
    bint known
    bint attached                   # the newest descriptor brought a structure
    bint started
    uint32_t timestamp              # of the newest picture
    uint16_t first_frame            # its first frame that came
    structure_t structure


cdef inline uint32_t take_bits(bits_t *b, int count) noexcept nogil:
    cdef uint32_t value = 0
    if b.at + count > b.end:
        b.cut = True
        return 0
    while count > 0:
        value = value << 1 | (b.data[b.at >> 3] >> (7 - (b.at & 7)) & 1)
        b.at += 1
        count -= 1
    return value


cdef uint32_t take_below(bits_t *b, uint32_t count) noexcept nogil:
    """ns(n): a number below `count`, the small ones a bit shorter."""
    cdef int width = 0
    cdef uint32_t short, value
    while count >> width:
        width += 1
    short = (<uint32_t>1 << width) - count
    value = take_bits(b, width - 1)
    return value if value < short else (value << 1) - short + take_bits(b, 1)


cdef bint read_template_layers(bits_t *b, structure_t *s) noexcept nogil:
    cdef uint8_t spatial = 0, temporal = 0
    cdef uint32_t step
    s.count = 0
    while not b.cut:
        s.templates[s.count].spatial = spatial
        s.templates[s.count].temporal = temporal
        s.count += 1
        step = take_bits(b, 2)
        if step == 3:
            break
        if step == 1:
            temporal += 1
        elif step == 2:
            spatial += 1
            temporal = 0
        if spatial >= MAX_SPATIAL or temporal > ALL_LAYERS or s.count == MAX_TEMPLATES:
            return False
    return not b.cut


cdef void read_indications(bits_t *b, template_t *t, int targets) noexcept nogil:
    cdef int i
    cdef uint32_t indication
    t.present = t.switches = 0
    for i in range(targets):
        indication = take_bits(b, 2)
        t.present |= <uint32_t>(indication != 0) << i
        t.switches |= <uint32_t>(indication == 2) << i


cdef void find_target_layers(structure_t *s) noexcept nogil:
    cdef int i, k
    cdef template_t *t
    s.top = 0
    for i in range(s.targets):
        s.target_spatial[i] = s.target_temporal[i] = 0
        for k in range(s.count):
            t = &s.templates[k]
            if t.present >> i & 1:
                s.target_spatial[i] = max(s.target_spatial[i], t.spatial)
                s.target_temporal[i] = max(s.target_temporal[i], t.temporal)
        s.top = max(s.top, s.target_temporal[i])


cdef bint read_structure(bits_t *b, structure_t *s) noexcept nogil:
    cdef int i
    s.offset = <uint8_t>take_bits(b, 6)
    s.targets = <uint8_t>(take_bits(b, 5) + 1)
    if not read_template_layers(b, s):
        return False
    for i in range(s.count):
        read_indications(b, &s.templates[i], s.targets)
    for i in range(s.count):
        s.templates[i].reach = 0
        while take_bits(b, 1):
            s.templates[i].reach = max(s.templates[i].reach, <uint8_t>(take_bits(b, 4) + 1))
    s.chains = <uint8_t>take_below(b, s.targets + 1)
    if s.chains:
        for i in range(s.targets):
            take_below(b, s.chains)
        skip_bits(b, 4 * s.count * s.chains)
    s.sized = 0
    if take_bits(b, 1):
        s.sized = s.templates[s.count - 1].spatial + 1
    for i in range(s.sized):
        s.widths[i] = <uint16_t>take_bits(b, 16)
        s.heights[i] = <uint16_t>take_bits(b, 16)
    if not b.cut:
        find_target_layers(s)
    return not b.cut


cdef inline void skip_bits(bits_t *b, int count) noexcept nogil:
    if b.at + count > b.end:
        b.cut = True
    else:
        b.at += count


cdef int read_reach(bits_t *b) noexcept nogil:
    """The largest of a frame's own differences."""
    cdef int reach = 0
    cdef uint32_t size = take_bits(b, 2)
    while size and not b.cut:
        reach = max(reach, <int>take_bits(b, 4 * <int>size) + 1)
        size = take_bits(b, 2)
    return reach


cdef bint read_descriptor(
    dependencies_t *d, const uint8_t *data, int length, template_t *frame, int *reach
) noexcept nogil:
    """Takes over an attached structure and gives what the frame is. False: not understood, nothing is changed."""
    cdef bits_t b
    cdef structure_t attached
    cdef structure_t *s = &d.structure
    cdef uint32_t flags = 0
    cdef uint8_t index
    memset(&b, 0, sizeof(bits_t))
    b.data = data
    b.at = 24
    b.end = 8 * length
    if length > 3:
        flags = take_bits(&b, 5)
    if flags & 0x10:
        if not read_structure(&b, &attached):
            return False
        s = &attached
    elif not d.known:
        return False
    if flags & 0x08:
        skip_bits(&b, s.targets)
    index = <uint8_t>((data[0] & 0x3F) - s.offset) & (MAX_TEMPLATES - 1)
    if index >= s.count:
        return False
    frame[0] = s.templates[index]
    reach[0] = frame.reach
    if flags & 0x04:
        read_indications(&b, frame, s.targets)
    if flags & 0x02:
        reach[0] = read_reach(&b)
    if flags & 0x01:
        skip_bits(&b, 8 * s.chains)
    if b.cut:
        return False
    d.attached = flags >> 4 & 1
    if d.attached:
        d.structure = attached
        d.known = True
    return True


cdef uint8_t opened_temporal(structure_t *s, template_t *frame) noexcept nogil:
    """The highest temporal layer that can be had from here on, ALL_LAYERS when that is all there are; 0 none."""
    cdef uint8_t opened = 0
    cdef int i
    for i in range(s.targets):
        if frame.switches >> i & 1 and s.target_spatial[i] == frame.spatial and s.target_temporal[i] > frame.temporal:
            opened = max(opened, s.target_temporal[i])
    return ALL_LAYERS if opened and opened == s.top else opened


cdef bint read_dependencies(dependencies_t *d, rtp_t *p, const uint8_t *data, int length) noexcept nogil:
    """What the descriptor says of the packet's layers. False: it is not understood, they are left as they are."""
    cdef template_t frame
    cdef int reach = 0
    if not read_descriptor(d, data, length, &frame, &reach):
        return False
    if not d.started or <int32_t>(p.timestamp - d.timestamp) > 0:
        d.started = True
        d.timestamp = p.timestamp
        d.first_frame = p.frame
    p.spatial = frame.spatial
    p.temporal = frame.temporal
    p.ends = data[0] >> 6 & 1
    if not data[0] & 0x80 or p.keyframe:
        return True
    p.opens_spatial = reach <= (<uint16_t>(p.frame - d.first_frame) if p.timestamp == d.timestamp else 0)
    p.opens_to = opened_temporal(&d.structure, &frame)
    p.opens_from = frame.temporal if p.opens_to else 0
    return True
