# The Python faces of what comes in and what goes out; they own their stream_t and slot_t.


cdef class Stream:
    """One incoming SSRC (a layer of a track): statistics, loss detection, packet cache of originals."""

    cdef stream_t *s
    cdef readonly Transport transport
    cdef Gate _gate

    def __cinit__(self, Transport transport not None, uint32_t ssrc, bint audio):
        self.s = <stream_t *>calloc(1, sizeof(stream_t))
        if self.s == NULL:
            raise MemoryError
        self.s.object = <void *>self
        self.s.transport = transport.t
        self.s.ssrc = ssrc
        self.s.audio = audio
        self.s.active = True
        self.s.clock = 48000 if audio else 90000
        self.s.loudness = 127 * 16
        self.transport = transport

    def __dealloc__(self):
        if self.s != NULL:
            unseat(self.s)
            drop_cache(self.s)
            free(self.s.dependencies)
            free(self.s.followers)
            free(self.s)

    @property
    def ssrc(self):
        return self.s.ssrc

    @property
    def kind(self):
        return Kind(self.s.kind)

    @property
    def packets(self):
        return self.s.packets

    @property
    def bytes(self):
        return self.s.bytes

    @property
    def lost(self):
        return self.s.highest - self.s.base + 1 - self.s.received if self.s.started else 0

    @property
    def fraction_lost(self):
        """Of 256, since the last receiver_report()."""
        cdef int64_t expected = self.s.highest - self.s.base + 1 - self.s.expected_before
        cdef int64_t lost = expected - (self.s.received - self.s.received_before)
        if not self.s.started or expected <= 0 or lost <= 0:
            return 0
        return min(255, (lost << 8) // expected)

    @property
    def jitter(self):
        return self.s.jitter >> 4

    @property
    def last_packet_at(self):
        return self.s.last_packet_us / 1e6

    @property
    def last_keyframe_at(self):
        return self.s.last_keyframe_us / 1e6

    @property
    def last_repair(self):
        """(sequence number, arrival) of the latest packet that RTX brought; None before there was one."""
        return (self.s.repaired, self.s.repaired_us / 1e6) if self.s.repaired_us else None

    @property
    def width(self):
        return largest_layer(self.s).width

    @property
    def height(self):
        return largest_layer(self.s).height

    @property
    def active(self):
        return self.s.active

    @active.setter
    def active(self, bint value):
        if self.s.active and not value:
            interrupt(self.s)
        self.s.active = value

    @property
    def gate(self):
        return self._gate

    @gate.setter
    def gate(self, Gate value):
        if value is self._gate:
            return
        unseat(self.s)
        self._gate = value
        self.s.gate = value.g if value is not None and self.s.transport != NULL else NULL
        if self.s.gate == NULL and self.s.shut:
            reopen(self.s)

    def receiver_report(self):
        """(fraction_lost, cumulative lost, extended highest sequence number, jitter); starts a new interval."""
        if not self.s.started:
            return 0, 0, 0, 0
        fraction = self.fraction_lost
        self.s.expected_before = self.s.highest - self.s.base + 1
        self.s.received_before = self.s.received
        return fraction, self.lost, (self.s.highest - FIRST_EXTENDED) & 0xFFFFFFFF, self.s.jitter >> 4

    def sender_report(self, ntp, rtp_timestamp, double arrived_at):
        """The publisher's latest SR: maps its RTP clock for slots' sender reports."""
        cdef transport_t *t = self.s.transport
        cdef int64_t offset
        if t == NULL:
            return
        ntp &= 0xFFFFFFFFFFFFFFFF
        offset = <int64_t>(ntp_of(to_us(arrived_at)) - <uint64_t>ntp)
        if not t.has_clock_offset or offset < t.clock_offset or offset - t.clock_offset > <int64_t>2 << 32:
            t.clock_offset = offset             # least delay seen; or the peer's clock was set
            t.has_clock_offset = True
        self.s.has_report = True
        self.s.report_ntp = ntp
        self.s.report_timestamp = rtp_timestamp & 0xFFFFFFFF
        self.s.report_us = to_us(arrived_at)

    def still_missing(self, sequence_numbers):
        """Those of them that have not arrived and are not too old to be of use: what to ask for again."""
        cdef int64_t extended
        cdef list result = []
        if not self.s.started:
            return result
        for number in sequence_numbers:
            extended = self.s.highest + <int16_t>(<uint16_t>number - <uint16_t>(self.s.highest & 0xFFFF))
            if self.s.base <= extended < self.s.highest and self.s.highest - extended < WINDOW:
                if not in_window(self.s, extended):
                    result.append(number)
        return result

    def layer_counts(self):
        """What came of each layer."""
        cdef layer_t *layer
        result = []
        for spatial in range(MAX_SPATIAL):
            layer = &self.s.layers[spatial]
            for temporal in range(MAX_TEMPORAL):
                if layer.bytes[temporal]:
                    result.append(LayerCount(
                        spatial, temporal, layer.bytes[temporal], layer.frames[temporal], layer.width, layer.height,
                    ))
        return result

    def take_level(self):
        """(packets, mean level in dBov below full scale) of RFC 6464 since the last call; None without packets."""
        if self.s.levels == 0:
            return None
        result = self.s.levels, round(self.s.level_sum / self.s.levels)
        self.s.levels = self.s.level_sum = 0
        return result


cdef class Slot:
    """One outgoing m-line: stable SSRC; follows one stream at a time."""

    cdef slot_t *s
    cdef readonly Transport transport
    cdef readonly str mid
    cdef bytes _cname

    def __cinit__(
        self, Transport transport not None, str mid not None, uint32_t ssrc, rtx_ssrc, bint audio, str cname not None
    ):
        cdef bytes name = mid.encode()
        self._cname = cname.encode()
        if len(name) > NAME_BYTES:
            raise ValueError("MID is longer than 16 bytes")
        if len(self._cname) > MAX_CNAME_BYTES:
            raise ValueError("CNAME is longer than 255 bytes")
        self.s = <slot_t *>calloc(1, sizeof(slot_t))
        if self.s == NULL:
            raise MemoryError
        self.s.object = <void *>self
        self.s.transport = transport.t
        self.s.ssrc = ssrc
        self.s.has_rtx = rtx_ssrc is not None
        self.s.priority = 1
        self.s.rtx_ssrc = rtx_ssrc or 0
        self.s.audio = audio
        memcpy(self.s.mid, <char *>name, len(name))
        self.s.mid_length = len(name)
        self.s.epochs = self.s.first_epochs
        self.s.epoch_room = EPOCHS
        self.s.limit_spatial = self.s.limit_temporal = ALL_LAYERS
        self.s.cname = self._cname
        self.s.cname_length = <uint8_t>len(self._cname)
        memset(self.s.payload_types, NO_PAYLOAD, KINDS)
        memset(self.s.rtx_payload_types, NO_PAYLOAD, KINDS)
        self.transport = transport
        self.mid = mid

    def __dealloc__(self):
        if self.s != NULL:
            if self.s.epochs != self.s.first_epochs:
                free(self.s.epochs)
            free(self.s.resends)
            free(self.s.stamps)
            free(self.s)

    cdef void forget_stamps(self) noexcept:
        free(self.s.stamps)
        self.s.stamps = NULL

    cdef void silence(self) noexcept:
        if self.s.current != NULL:
            remove_follower(self.s.current, self.s)
        if self.s.target != NULL:
            remove_follower(self.s.target, self.s)
        self.s.current = self.s.target = NULL
        self.s.resync = False

    cdef void unlink(self) noexcept:
        shed(self.s.transport.f, self.s)
        self.silence()
        forget_events(self.s.transport.f, self.s)
        self.s.transport = NULL

    @property
    def ssrc(self):
        return self.s.ssrc

    @property
    def packets(self):
        return self.s.packets

    @property
    def bytes(self):
        return self.s.bytes

    @property
    def retransmitted(self):
        return self.s.retransmitted

    @property
    def priority(self):
        return self.s.priority

    @priority.setter
    def priority(self, int value):
        if not 0 <= value < PACER_LINES:
            raise ValueError(f"priority is not in 0..{PACER_LINES - 1}")
        self.s.priority = value

    def map_payload(self, kind, int payload_type, rtx_payload_type):
        """Payload type negotiated for a kind; a stream of an unmapped kind is dropped (reason `codec`)."""
        cdef int number = int(Kind(kind))
        if not 0 <= payload_type <= 127 or not (rtx_payload_type is None or 0 <= rtx_payload_type <= 127):
            raise ValueError("payload type is not in 0..127")
        if self.s.payload_types[number] != payload_type:
            self.forget_stamps()
        self.s.payload_types[number] = payload_type
        self.s.rtx_payload_types[number] = NO_PAYLOAD if rtx_payload_type is None else rtx_payload_type

    def follow(self, Stream stream):
        """Switches source or layer; see forward.pyi. None, or a stream that has ended: silence."""
        cdef slot_t *slot = self.s
        cdef stream_t *s
        if slot.transport == NULL:
            return
        if stream is None or stream.s.transport == NULL:
            self.silence()
            return
        s = stream.s
        if slot.target != NULL and slot.target != s and slot.target != slot.current:
            remove_follower(slot.target, slot)
        slot.target = NULL
        if slot.current == s:
            return
        if slot.current != NULL and slot.current.transport != s.transport:
            self.silence()
        add_follower(s, slot)
        slot.target = s
        if not slot.audio:
            slot.transport.f.now_us = read_clock(slot.transport.f)
            ask_keyframe(slot.transport.f, s)

    def limit(self, int spatial, int temporal):
        """The highest layers forwarded; see forward.pyi."""
        if not (0 <= spatial <= ALL_LAYERS and 0 <= temporal <= ALL_LAYERS):
            raise ValueError("a layer is not in 0..7")
        limit_layers(self.s, <uint8_t>spatial, <uint8_t>temporal)

    def current(self):
        """The stream it carries."""
        return <object>self.s.current.object if self.s.current != NULL else None

    def target(self):
        """The stream it waits for."""
        return <object>self.s.target.object if self.s.target != NULL else None

    def retransmit(self, sequence_numbers):
        """Answers a NACK from the cache (RTX when negotiated, else verbatim); returns how many were found."""
        cdef int found = 0
        if self.s.transport == NULL or self.s.epoch_count == 0:
            return 0
        self.s.transport.f.now_us = read_clock(self.s.transport.f)
        for number in sequence_numbers[:MAX_NACK]:
            found += retransmit_packet(self.s.transport.f, self.s, <uint16_t>number)
        with nogil:
            udp_flush()
        return found
