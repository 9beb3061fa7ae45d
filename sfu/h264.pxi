# The picture size in an H.264 sequence parameter set: what sfu.h264 says in plain Python; bits as in dependency.pxi.

cdef enum:
    MAX_SPS_BYTES = 256
    MAX_SIDE = 16384


cdef uint32_t take_golomb(bits_t *b) noexcept nogil:
    """ue(v), at most 31 bits."""
    cdef int zeros = 0
    while not take_bits(b, 1):
        zeros += 1
        if b.cut or zeros == 32:
            b.cut = True
            return 0
    return (<uint32_t>1 << zeros) - 1 + take_bits(b, zeros)


cdef inline int take_signed(bits_t *b) noexcept nogil:
    cdef int64_t value = take_golomb(b)
    return <int>((value + 1) >> 1) if value & 1 else <int>-(value >> 1)


cdef void skip_scaling_list(bits_t *b, int size) noexcept nogil:
    cdef int scale = 8, i = 0
    while i < size and scale and not b.cut:
        scale = (scale + take_signed(b)) & 0xFF
        i += 1


cdef void skip_order_count(bits_t *b) noexcept nogil:
    cdef uint32_t kind = take_golomb(b), count
    if kind == 0:
        take_golomb(b)
    elif kind == 1:
        take_bits(b, 1)
        take_golomb(b)
        take_golomb(b)
        count = take_golomb(b)
        if count > 255:
            b.cut = True
        while count and not b.cut:
            take_golomb(b)
            count -= 1


cdef inline bint has_chroma(uint32_t profile) noexcept nogil:
    return (
        profile == 100 or profile == 110 or profile == 122 or profile == 244 or profile == 44 or profile == 83
        or profile == 86 or profile == 118 or profile == 128 or profile == 138 or profile == 139 or profile == 134
        or profile == 135
    )


cdef uint32_t take_chroma(bits_t *b) noexcept nogil:
    """chroma_format_idc, 0 for separate planes; and behind the scaling lists."""
    cdef uint32_t chroma = take_golomb(b)
    cdef bint planes = chroma == 3 and take_bits(b, 1)
    cdef int i
    take_golomb(b)
    take_golomb(b)
    take_bits(b, 1)
    if take_bits(b, 1):
        for i in range(12 if chroma == 3 else 8):
            if take_bits(b, 1):
                skip_scaling_list(b, 16 if i < 6 else 64)
    return 0 if planes else chroma


cdef void read_parameter_set(rtp_t *p, bits_t *b) noexcept nogil:
    cdef uint32_t profile = take_bits(b, 8), chroma = 1
    cdef int64_t width, height, fields, left, right, top, bottom
    skip_bits(b, 16)
    take_golomb(b)
    if has_chroma(profile):
        chroma = take_chroma(b)
    take_golomb(b)
    skip_order_count(b)
    take_golomb(b)
    take_bits(b, 1)
    width = 16 * (<int64_t>take_golomb(b) + 1)
    height = 16 * (<int64_t>take_golomb(b) + 1)
    fields = 1 if take_bits(b, 1) else 2
    height *= fields
    if fields == 2:
        take_bits(b, 1)
    take_bits(b, 1)
    if take_bits(b, 1):
        left = take_golomb(b)
        right = take_golomb(b)
        top = take_golomb(b)
        bottom = take_golomb(b)
        width -= (2 if chroma == 1 or chroma == 2 else 1) * (left + right)
        height -= (2 if chroma == 1 else 1) * fields * (top + bottom)
    if not b.cut and 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE:
        p.width = <int>width
        p.height = <int>height


cdef void read_h264_size(rtp_t *p) noexcept nogil:
    """By the first parameter set of the payload, alone or in a STAP-A."""
    cdef uint8_t *data = p.data + p.payload
    cdef int size = p.length - p.payload, offset = 1, i, zeros = 0
    cdef uint8_t raw[MAX_SPS_BYTES]
    cdef bits_t b
    if (data[0] & 0x1F) == 24:
        while offset + 2 < size and (data[offset + 2] & 0x1F) != 7:
            offset += 2 + read16(data + offset)
        if offset + 2 >= size:
            return
        size = min(read16(data + offset), size - offset - 2)
        data += offset + 2
    if size < 1 or (data[0] & 0x1F) != 7:
        return
    memset(&b, 0, sizeof(bits_t))
    for i in range(1, min(size, MAX_SPS_BYTES)):
        if zeros >= 2 and data[i] == 3:         # emulation prevention
            zeros = 0
            continue
        zeros = zeros + 1 if data[i] == 0 else 0
        raw[b.end] = data[i]
        b.end += 1
    b.data = raw
    b.end *= 8
    read_parameter_set(p, &b)
