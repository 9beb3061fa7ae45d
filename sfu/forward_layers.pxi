# Layers inside a stream: counting those that come, leaving out those above a slot's limit (RFC 7741, 9628, AV1 RTP).
#
# Each run of packets left out ends an epoch and begins one whose offsets close the gap, so late packets and NACKs find
# the offsets of their own place. What is missing may be of any layer and keeps its number; when it comes after all
# and is not wanted, it goes out without payload, so that nobody asks for it again.


cdef void read_layers(stream_t *s, rtp_t *p) noexcept nogil:
    """For codecs whose payload does not tell layers, or is long to read."""
    cdef extension_t *descriptor = find_extension(p, EXT_DEPENDENCY_DESCRIPTOR)
    cdef structure_t *structure
    cdef int i
    if p.kind == KIND_H264 and p.keyframe:
        read_h264_size(p)
    if p.frame_offset == 0:
        return
    if s.dependencies == NULL:
        s.dependencies = <dependencies_t *>calloc(1, sizeof(dependencies_t))
        if s.dependencies == NULL:
            return
    if not read_dependencies(s.dependencies, p, p.data + descriptor.offset, descriptor.length):
        return
    if s.dependencies.attached:
        structure = &s.dependencies.structure
        for i in range(structure.sized):
            s.layers[i].width = structure.widths[i] + 1
            s.layers[i].height = structure.heights[i] + 1


cdef bint goes_on_from(stream_t *s, rtp_t *p) noexcept nogil:
    """Whether libwebrtc can go on from this keyframe: in VP9's non-flexible mode only when it is of the lowest temporal
    layer and describes the layers (RFC 9628 §4.2.1). Firefox, whose encoder begins anew when layers are switched off,
    sends others; its receivers would stand still for 3 s, and ask then."""
    if p.kind != KIND_VP9 or not p.layer_offset:
        return True
    if p.sizes and p.temporal == 0:
        s.described = True
        return True
    return not s.described


cdef void count_layer(stream_t *s, rtp_t *p) noexcept nogil:
    cdef layer_t *layer = &s.layers[min(p.spatial, MAX_SPATIAL - 1)]
    cdef int temporal = min(p.temporal, MAX_TEMPORAL - 1), i
    layer.bytes[temporal] += p.length - p.payload
    if p.payload < p.length and (not layer.started or <int32_t>(p.timestamp - layer.timestamp) > 0):
        layer.started = True
        layer.timestamp = p.timestamp
        layer.frames[temporal] += 1
    if p.width:
        layer.width = p.width
        layer.height = p.height
    for i in range(min(p.sizes, MAX_SPATIAL)):
        s.layers[i].width = read16(p.data + p.sizes_offset + 4 * i)
        s.layers[i].height = read16(p.data + p.sizes_offset + 4 * i + 2)


cdef layer_t *largest_layer(stream_t *s) noexcept nogil:
    cdef layer_t *best = &s.layers[0]
    cdef int i
    for i in range(1, MAX_SPATIAL):
        if s.layers[i].started and s.layers[i].width >= best.width:
            best = &s.layers[i]
    return best


cdef epoch_t *new_epoch(slot_t *slot) noexcept nogil:
    """The next of the ring, still as it was."""
    slot.epoch_count += 1
    return &slot.epochs[(slot.epoch_count - 1) & (slot.epoch_room - 1)]


cdef void grow_epochs(slot_t *slot) noexcept nogil:
    """A ring for a slot that leaves out layers; without memory the small one has to do."""
    cdef epoch_t *grown
    cdef uint32_t i
    if slot.epoch_room == LAYERED_EPOCHS:
        return
    grown = <epoch_t *>calloc(LAYERED_EPOCHS, sizeof(epoch_t))
    if grown == NULL:
        return
    for i in range(slot.epoch_count - min(slot.epoch_count, slot.epoch_room), slot.epoch_count):
        grown[i & (LAYERED_EPOCHS - 1)] = slot.epochs[i & (slot.epoch_room - 1)]
    slot.epochs = grown
    slot.epoch_room = LAYERED_EPOCHS
    slot.epoch = &slot.epochs[(slot.epoch_count - 1) & (slot.epoch_room - 1)]


cdef epoch_t *go_on(slot_t *slot, int64_t source) noexcept nogil:
    """The epoch whose first packet is `source`, which is newer than all before: the newest one, or its continuation."""
    cdef epoch_t *before
    cdef epoch_t *e
    if slot.epoch.first_source == source:
        return slot.epoch
    grow_epochs(slot)
    before = slot.epoch
    e = new_epoch(slot)
    e[0] = before[0]
    e.continues = True
    e.first_source = source
    e.first_out = source + e.offset
    slot.epoch = e
    return e


cdef inline bint is_wanted(epoch_t *e, rtp_t *p) noexcept nogil:
    return p.spatial <= e.spatial and p.temporal <= e.temporal


cdef inline bint ends_picture(epoch_t *e, rtp_t *p) noexcept nogil:
    return p.marker or (p.ends and p.spatial == e.spatial)


cdef inline void hollow(rtp_t *p) noexcept nogil:
    """Leaves the packet nothing but its place."""
    p.length = p.payload
    p.picture_offset = p.layer_offset = 0
    p.marker = p.ends = False
    p.pad = 0


cdef void limit_layers(slot_t *slot, uint8_t spatial, uint8_t temporal) noexcept nogil:
    slot.limit_spatial = spatial
    slot.limit_temporal = temporal
    if slot.epoch != NULL and not slot.layered and not slot.audio:
        slot.layered = spatial < ALL_LAYERS or temporal < ALL_LAYERS
        slot.picture_timestamp = slot.last_timestamp - slot.epoch.timestamp
        slot.skipped = False


cdef void begin_layers(slot_t *slot, epoch_t *e, rtp_t *p) noexcept nogil:
    """A keyframe: from here on every layer can be had."""
    e.spatial = slot.limit_spatial
    e.temporal = slot.limit_temporal
    slot.layered = not slot.audio and (e.spatial < ALL_LAYERS or e.temporal < ALL_LAYERS)
    slot.picture_timestamp = p.timestamp
    slot.skipped = False


cdef void move_layers(slot_t *slot, stream_t *s, rtp_t *p) noexcept nogil:
    """Lets layers go with a new picture, and come where they can be decoded."""
    cdef epoch_t *e = slot.epoch
    cdef uint8_t spatial = e.spatial, temporal = e.temporal
    if p.timestamp != slot.picture_timestamp:
        slot.picture_timestamp = p.timestamp
        slot.skipped = False
        spatial = min(spatial, slot.limit_spatial)
        temporal = min(temporal, slot.limit_temporal)
    if p.keyframe:
        spatial = slot.limit_spatial
    if p.opens_from <= temporal < min(p.opens_to, slot.limit_temporal):
        temporal = min(p.opens_to, slot.limit_temporal)
    if spatial < p.spatial <= slot.limit_spatial:
        if p.opens_spatial and not slot.skipped:
            spatial = p.spatial
        else:
            s.waiting = True
    if spatial != e.spatial or temporal != e.temporal:
        e = go_on(slot, p.extended)
        e.spatial = spatial
        e.temporal = temporal
    slot.layered = (
        min(spatial, temporal) < ALL_LAYERS or min(slot.limit_spatial, slot.limit_temporal) < ALL_LAYERS
    )


cdef void leave_out(slot_t *slot, rtp_t *p) noexcept nogil:
    """What follows moves up; so do picture ids, where a picture is one frame of one layer."""
    cdef epoch_t *e = go_on(slot, p.extended)
    e.first_source += 1
    e.offset -= 1
    if not slot.skipped and p.kind == KIND_VP8 and p.picture_offset:
        e.picture -= 1
    slot.skipped = True


cdef void forward_layer(forwarder_t *f, slot_t *slot, stream_t *s, rtp_t *p) noexcept nogil:
    """A packet at or behind the beginning of the newest epoch."""
    if p.extended + slot.epoch.offset <= slot.highest:
        send_wanted(f, slot, slot.epoch, p)
        return
    move_layers(slot, s, p)
    if is_wanted(slot.epoch, p):
        send_on(f, slot, slot.epoch, p)
    else:
        leave_out(slot, p)
        drop(f, DROP_LAYER)


cdef void forward_late(forwarder_t *f, slot_t *slot, rtp_t *p) noexcept nogil:
    """A packet from before the newest epoch."""
    cdef epoch_t *e
    cdef uint32_t age
    for age in range(min(slot.epoch_count, slot.epoch_room)):
        e = &slot.epochs[(slot.epoch_count - 1 - age) & (slot.epoch_room - 1)]
        if p.extended >= e.first_source:
            send_wanted(f, slot, e, p)
            return
        if not e.continues:
            break
    drop(f, DROP_BEFORE_SWITCH)


cdef void send_wanted(forwarder_t *f, slot_t *slot, epoch_t *e, rtp_t *p) noexcept nogil:
    """Fills a gap that the receiver knows of."""
    cdef rtp_t empty
    if is_wanted(e, p):
        send_on(f, slot, e, p)
        return
    empty = p[0]
    hollow(&empty)
    send_on(f, slot, e, &empty)
