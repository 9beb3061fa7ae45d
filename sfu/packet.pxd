"""Reads RTP headers, extensions and payload descriptors in place, without the GIL: the compiled sfu.rtp and sfu.codecs.

RFC 3550 §5.1, RFC 8285, RFC 7741 (VP8), RFC 9628 (VP9), RFC 6184 (H.264), AV1 RTP. Nothing here keeps state.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset


cdef enum:
    MAX_EXTENSIONS = 16             # known ones kept of one packet; more are ignored
    RTP_HEADER = 12
    ALL_LAYERS = 7                  # the highest layer id there is

# The values of sfu.rtp.Extension and sfu.codecs.Kind; forward.pyx checks at import that they agree.
cdef enum:
    EXT_MID = 1
    EXT_RID = 2
    EXT_REPAIRED_RID = 3
    EXT_AUDIO_LEVEL = 4
    EXT_ABS_SEND_TIME = 5
    EXT_TRANSPORT_SEQUENCE = 6
    EXT_DEPENDENCY_DESCRIPTOR = 13
    EXT_LAST = 14

cdef enum:
    KIND_OPAQUE = 0
    KIND_OPUS = 1
    KIND_VP8 = 2
    KIND_VP9 = 3
    KIND_AV1 = 4
    KIND_H264 = 5
    KINDS = 6


cdef struct extension_t:
    uint8_t meaning
    uint8_t length
    uint16_t offset                 # of the value, from the start of the packet


cdef struct rtp_t:
    # One packet being worked on; `data` points into the batch or a cache.
    uint8_t *data
    int length                      # without padding
    int payload                     # offset
    int64_t extended                # sequence number without wrap, once its stream is known
    uint32_t timestamp
    uint32_t ssrc
    uint16_t sequence
    uint8_t payload_type
    bint marker
    bint padded                     # it came with padding
    uint8_t kind
    int extension_count
    extension_t extensions[MAX_EXTENSIONS]
    # Payload descriptor: offsets from the start of the packet, 0 where absent.
    bint keyframe                   # a decoder can start here
    int picture_offset
    bint picture_wide
    uint16_t picture
    int layer_offset                # TL0PICIDX
    uint8_t layer
    int frame_offset                # frame_number of the dependency descriptor
    uint16_t frame
    int width
    int height
    # Layers: sfu.codecs.LayerMarks
    uint8_t spatial
    uint8_t temporal
    uint8_t opens_from              # a slot at this temporal layer or above may go up to `opens_to` from here on
    uint8_t opens_to                # 0: none
    bint opens_spatial              # a slot below this spatial layer may take it from here on
    bint ends                       # last packet of its spatial layer's frame
    uint8_t sizes                   # VP9: (width, height) pairs at `sizes_offset`, one a spatial layer
    int sizes_offset
    # Grouping in a batch.
    uint8_t pad                     # padding bytes to add so that the packets of a frame are equal
    int next


cdef inline uint16_t read16(const uint8_t *p) noexcept nogil:
    return <uint16_t>(p[0] << 8 | p[1])

cdef inline uint32_t read24(const uint8_t *p) noexcept nogil:
    return <uint32_t>p[0] << 16 | <uint32_t>p[1] << 8 | p[2]

cdef inline uint32_t read32(const uint8_t *p) noexcept nogil:
    return <uint32_t>p[0] << 24 | <uint32_t>p[1] << 16 | <uint32_t>p[2] << 8 | p[3]

cdef inline void write16(uint8_t *p, uint16_t value) noexcept nogil:
    p[0] = value >> 8
    p[1] = value & 0xFF

cdef inline void write24(uint8_t *p, uint32_t value) noexcept nogil:
    p[0] = value >> 16 & 0xFF
    p[1] = value >> 8 & 0xFF
    p[2] = value & 0xFF

cdef inline void write32(uint8_t *p, uint32_t value) noexcept nogil:
    p[0] = value >> 24
    p[1] = value >> 16 & 0xFF
    p[2] = value >> 8 & 0xFF
    p[3] = value & 0xFF


cdef inline bint read_extensions(
    rtp_t *p, const uint8_t *meanings, int offset, int end, uint16_t profile
) noexcept nogil:
    # False: an element leaves its block.
    cdef bint two_byte = (profile & 0xFFF0) == 0x1000
    cdef int identifier, size
    cdef extension_t *e
    if profile != 0xBEDE and not two_byte:
        return True
    while offset < end:
        if p.data[offset] == 0:
            offset += 1
            continue
        if two_byte:
            if offset + 2 > end:
                return False
            identifier = p.data[offset]
            size = p.data[offset + 1]
            offset += 2
        else:
            identifier = p.data[offset] >> 4
            size = (p.data[offset] & 0x0F) + 1
            offset += 1
            if identifier == 0 or identifier == 15:
                return True
        if offset + size > end:
            return False
        if meanings[identifier] != 0 and p.extension_count < MAX_EXTENSIONS:
            e = &p.extensions[p.extension_count]
            e.meaning = meanings[identifier]
            e.length = <uint8_t>size
            e.offset = <uint16_t>offset
            p.extension_count += 1
        offset += size
    return True


cdef inline bint read_rtp(rtp_t *p, uint8_t *data, int length, const uint8_t *meanings) noexcept nogil:
    """Reads header and extensions; `meanings` maps 256 ids to meanings, 0 unknown. False: malformed."""
    cdef int offset, end
    memset(p, 0, sizeof(rtp_t))
    if length < RTP_HEADER or length > 0xFFFF or data[0] >> 6 != 2:
        return False
    p.data = data
    p.marker = data[1] >> 7
    p.payload_type = data[1] & 0x7F
    p.sequence = read16(data + 2)
    p.timestamp = read32(data + 4)
    p.ssrc = read32(data + 8)
    p.next = -1
    offset = RTP_HEADER + 4 * (data[0] & 0x0F)
    if offset > length:
        return False
    if data[0] & 0x10:
        if offset + 4 > length:
            return False
        end = offset + 4 + 4 * read16(data + offset + 2)
        if end > length or not read_extensions(p, meanings, offset + 4, end, read16(data + offset)):
            return False
        offset = end
    if data[0] & 0x20:
        if data[length - 1] == 0 or offset + data[length - 1] > length:
            return False
        length -= data[length - 1]
        p.padded = True
    p.payload = offset
    p.length = length
    return True


cdef inline extension_t *find_extension(rtp_t *p, uint8_t meaning) noexcept nogil:
    cdef int i
    for i in range(p.extension_count):
        if p.extensions[i].meaning == meaning:
            return &p.extensions[i]
    return NULL


cdef inline void read_vp8(rtp_t *p) noexcept nogil:
    cdef uint8_t *data = p.data
    cdef int offset = p.payload + 1, end = p.length
    cdef uint8_t first = data[p.payload], present = 0
    if first & 0x80:
        if offset >= end:
            return
        present = data[offset]
        offset += 1
    if present & 0x80:
        if offset >= end or (data[offset] & 0x80 and offset + 1 >= end):
            return
        p.picture_wide = data[offset] >> 7
        p.picture = read16(data + offset) & 0x7FFF if p.picture_wide else data[offset]
        p.picture_offset = offset
        offset += 1 + p.picture_wide
    if present & 0x40:
        if offset >= end:
            p.picture_offset = 0
            return
        p.layer = data[offset]
        p.layer_offset = offset
        offset += 1
    if present & 0x30:
        if offset >= end:
            p.picture_offset = p.layer_offset = 0
            return
        if present & 0x20:
            p.temporal = data[offset] >> 6
            if data[offset] & 0x20 and p.temporal and (first & 0x17) == 0x10:
                p.opens_from = p.temporal - 1
                p.opens_to = p.temporal
        offset += 1
    if not first & 0x10 or first & 0x07 or offset >= end or data[offset] & 1:
        return
    p.keyframe = True
    if end - offset >= 10 and data[offset + 3] == 0x9D and data[offset + 4] == 0x01 and data[offset + 5] == 0x2A:
        p.width = (data[offset + 7] << 8 | data[offset + 6]) & 0x3FFF
        p.height = (data[offset + 9] << 8 | data[offset + 8]) & 0x3FFF


cdef inline void read_vp9(rtp_t *p) noexcept nogil:
    cdef uint8_t *data = p.data
    cdef int offset = p.payload + 1, end = p.length
    cdef uint8_t first = data[p.payload]
    if first & 0x80:
        if offset >= end or (data[offset] & 0x80 and offset + 1 >= end):
            return
        p.picture_wide = data[offset] >> 7
        p.picture = read16(data + offset) & 0x7FFF if p.picture_wide else data[offset]
        p.picture_offset = offset
        offset += 1 + p.picture_wide
    if first & 0x20:
        if offset + (0 if first & 0x10 else 1) >= end:
            p.picture_offset = 0
            return
        p.spatial = data[offset] >> 1 & 7
        p.temporal = data[offset] >> 5
        if data[offset] & 0x10 and first & 0x08:
            p.opens_from = p.temporal
            p.opens_to = ALL_LAYERS
        offset += 1
        if not first & 0x10:
            p.layer = data[offset]
            p.layer_offset = offset
            offset += 1
    p.ends = first >> 2 & 1
    p.opens_spatial = (first & 0x48) == 0x08
    p.keyframe = p.opens_spatial and p.spatial == 0
    if first & 0x02:
        read_vp9_sizes(p, offset)


cdef inline void read_vp9_sizes(rtp_t *p, int offset) noexcept nogil:
    # Behind reference indices, at most three, of flexible mode: the scalability structure.
    cdef int indices = 3 if (p.data[p.payload] & 0x50) == 0x50 else 0
    cdef uint8_t layers
    while indices and offset < p.length:
        offset += 1
        indices = indices - 1 if p.data[offset - 1] & 1 else 0
    if offset >= p.length or not p.data[offset] & 0x10:
        return
    layers = (p.data[offset] >> 5) + 1
    if offset + 1 + 4 * layers <= p.length:
        p.sizes = layers
        p.sizes_offset = offset + 1


cdef inline void read_h264(rtp_t *p) noexcept nogil:
    cdef uint8_t *data = p.data
    cdef int offset = p.payload, end = p.length
    cdef uint8_t nal = data[offset] & 0x1F
    if nal == 28:                   # FU-A
        if offset + 1 < end and data[offset + 1] & 0x80:
            nal = data[offset + 1] & 0x1F
    elif nal == 24:                 # STAP-A
        offset += 1
        while offset + 2 < end:
            nal = data[offset + 2] & 0x1F
            if nal == 5 or nal == 7:
                break
            offset += 2 + read16(data + offset)
    p.keyframe = nal == 5 or nal == 7


cdef inline void read_payload(rtp_t *p) noexcept nogil:
    """Reads the payload descriptor of `p.kind`. One that is cut off gives no keyframe and no fields."""
    cdef extension_t *descriptor
    if p.payload >= p.length:
        p.keyframe = p.kind <= KIND_OPUS
        return
    if p.kind == KIND_VP8:
        read_vp8(p)
    elif p.kind == KIND_VP9:
        read_vp9(p)
    elif p.kind == KIND_H264:
        read_h264(p)
    elif p.kind == KIND_AV1:
        p.keyframe = (p.data[p.payload] & 0x88) == 0x08
    else:
        p.keyframe = True
        return
    if p.keyframe:
        p.opens_from = 0
        p.opens_to = ALL_LAYERS
        p.opens_spatial = True
    descriptor = find_extension(p, EXT_DEPENDENCY_DESCRIPTOR)
    if descriptor != NULL and descriptor.length >= 3:
        p.frame_offset = descriptor.offset + 1
        p.frame = read16(p.data + p.frame_offset)
