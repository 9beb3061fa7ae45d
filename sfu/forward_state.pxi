# State of the forward path: plain C structures, linked with each other. Each belongs to the Python object named in
# `object`, which unlinks it before it is freed; policy writes them between batches, the packet path during one.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from sfu.packet cimport *
from wire.udp cimport (
    Receiver, UdpSocket, endpoint_equal, endpoint_from_python, endpoint_hash, endpoint_t, endpoint_to_python,
    monotonic_us, packet_t, socket_t, turnd_mix, udp_commit, udp_flush, udp_reserve,
)


cdef enum:
    C_MAX_STREAMS = 64              # of one transport
    C_MAX_SLOTS = 512               # of one transport
    C_MAX_SSRCS = 192               # of one transport, known and unknown
    C_MAX_REMOTES = 32              # validated pairs of one transport
    MAX_RTP_BYTES = 2000            # larger ones are dropped: the path of a browser carries 1200 to 1500
    WORK = 256                      # packets prepared before they are sent on
    MAX_EVENTS = 512                # waiting for Python
    MAX_ARRIVALS = 4096             # waiting for feedback
    FIRST_EXTENDED = 65536          # extended sequence numbers begin here, so that earlier ones stay positive
    WINDOW = 1024                   # sequence numbers of a stream within which duplicates are told
    MAX_DROPOUT = 3000              # a larger jump of sequence numbers is a restart of the sender (RFC 3550 A.1)
    EPOCHS = 8                      # of a slot, within which a NACK can be answered: switches ...
    LAYERED_EPOCHS = 128            # ... and gaps that left out layers make: two seconds of 60 pictures
    MAX_SPATIAL = 4                 # layers counted apart; higher ones count with the highest
    MAX_TEMPORAL = 4
    MAX_TEMPLATES = 64              # of a dependency descriptor's structure
    MAX_TARGETS = 32
    C_MAX_SEATS = 64                # of a gate
    SPEECH_LEVEL = 50               # dB below full scale (RFC 6464): what is called voice and is so loud is speech
    LOUD_LEVEL = 35                 # so is this without the word of its sender
    LOUDER_DB = 10                  # than the smoothed level of who yields without having been silent
    HOLD_US = 2000000               # a seat is kept so long after the last speech
    VIDEO_ENTRIES = 1024
    AUDIO_ENTRIES = 64
    VIDEO_CACHE_BYTES = 1 << 19     # address space; only what was written becomes memory
    AUDIO_CACHE_BYTES = 1 << 14
    RESENDS = VIDEO_ENTRIES         # sequence numbers whose last retransmission a slot remembers: all that are kept
    STAMPS = 256                    # packets a slot without RTX can repeat
    OUT_ROOM = 160                  # what a packet may grow by: extensions, OSN, padding, authentication tag
    KEYFRAME_REPEAT_US = 250000
    RESEND_MS = 20                  # a packet is repeated at most so often, and ...
    MAX_RESEND_MS = 500             # ... once a round trip, up to this one
    C_RESEND_BURST = 1 << 19        # bytes of one transport, above what it is sent for the first time ...
    RESEND_FLOOR_BYTES = 16000      # ... and this many bytes a second
    UNKNOWN_REPEAT_US = 200000      # an unknown SSRC is reported again so often, and sooner when it carries MID or RID
    UNKNOWN_NAMED_US = 20000
    SSRC_EXPIRY_US = 10000000       # an SSRC nobody wants may be forgotten after such a silence
    NO_PAYLOAD = 0xFF
    MAX_UPLINK_WAIT_US = 250000     # video that has waited longer for the host's uplink is worth nothing, ...
    MAX_PATH_WAIT_US = 1000000      # ... for a path of its own, where a keyframe alone takes half of that
    C_MAX_WAITING = 8192            # packets
    PACER_LINES = 4                 # priorities of slots
    PACER_BURST_US = 25000          # of the budget may leave at once ...
    UPLINK_DEBT_US = 10000          # ... and this much more when it is repairs; ...
    PATH_DEBT_US = 50000            # ... of a slow path that is a packet
    UPLINK_FULL_US = 100000         # policy hears of a queue so long
    DRAIN_US = 5000                 # between looks at what waits
    IPV4_UDP_BYTES = 28
    IPV6_UDP_BYTES = 48
    LOSS_WORDS = 4                  # at most 256 numbers in one LOST event
    NAME_BYTES = 16                 # MID, RID
    DURATIONS = 12                  # buckets of `durations`, the last without bound
    SHORTEST_US = 50                # bound of the first; each next one is twice as wide
    MAX_CNAME_BYTES = 255           # RFC 3550 §6.5
    ROUTE_HOLD_US = 10000000        # an address heard from so recently is not given to another connection

# Why a packet did not go on: sfu.forward.Drop.
cdef enum:
    DROP_UNKNOWN_ADDRESS
    DROP_GARBAGE
    DROP_NO_KEYS
    DROP_AUTHENTICATION
    DROP_REPLAY
    DROP_MALFORMED
    DROP_TOO_LARGE
    DROP_SSRC_LIMIT
    DROP_UNKNOWN_SSRC
    DROP_PAYLOAD_TYPE
    DROP_DUPLICATE
    DROP_OLD
    DROP_PROBE
    DROP_INACTIVE
    DROP_CODEC
    DROP_AWAITING_KEYFRAME
    DROP_BEFORE_SWITCH
    DROP_NO_PATH
    DROP_PROTECT
    DROP_EVENT_OVERFLOW
    DROP_ARRIVAL_OVERFLOW
    DROP_RESEND_BUDGET
    DROP_LAYER
    DROP_NOT_LOUDEST
    DROP_UPLINK
    DROP_PATH
    DROPS

cdef enum:
    ROLE_UNKNOWN
    ROLE_MEDIA
    ROLE_REPAIR

cdef enum:
    EVENT_NONE = -1
    EVENT_STUN = 0
    EVENT_DTLS = 1
    EVENT_RTCP = 2
    EVENT_UNKNOWN_SSRC = 3
    EVENT_KEYFRAME_NEEDED = 4
    EVENT_SWITCHED = 5
    EVENT_LOST = 6
    EVENT_FEEDBACK = 7
    EVENT_WAITING = 8
    EVENT_UPLINK_FULL = 9

ctypedef int (*srtp_fn)(void *session, void *packet, int *length) noexcept nogil
ctypedef int (*srtp_remove_fn)(void *session, unsigned int ssrc) noexcept nogil


cdef struct payload_t:
    bint known
    uint8_t kind
    uint8_t repairs                 # payload type of the original when this is RTX, else NO_PAYLOAD
    uint32_t clock


cdef struct ssrc_t:
    uint32_t ssrc
    uint8_t role
    stream_t *stream
    uint64_t seen_us
    uint64_t reported_us


cdef struct pair_t:
    endpoint_t remote
    endpoint_t local


cdef struct remote_t:
    pair_t pair
    uint64_t checked_us             # latest authenticated check


cdef struct arrival_t:
    int64_t number
    uint64_t at_us


cdef struct waiting_t
cdef struct transport_t


cdef struct pacer_t:
    # A token bucket, and the video that waits for it, in lines by priority.
    transport_t *transport          # whose path it is; NULL: the host's uplink
    int64_t bps                     # 0: nothing has to wait
    int64_t credit                  # bits times a million
    uint64_t filled_us
    waiting_t *first[PACER_LINES]
    waiting_t *last[PACER_LINES]
    int count
    uint64_t bytes
    bint listed                     # among the forwarder's `paths`
    pacer_t *next


cdef struct transport_t:
    void *object
    forwarder_t *f
    void *inbound                   # srtp_t; NULL before keys
    void *outbound
    void *sealer                    # EVP_CIPHER_CTX of an AEAD profile; NULL: libsrtp protects media too
    uint8_t seal_salt[12]
    socket_t *socket                # NULL before `select`
    pair_t selected
    remote_t remotes[C_MAX_REMOTES]
    int remote_count
    uint8_t receive_map[256]        # extension id -> meaning
    uint8_t send_ids[EXT_LAST + 1]  # meaning -> extension id, 0 none
    payload_t payloads[128]
    ssrc_t *ssrcs
    int ssrc_count
    int ssrc_room
    int last_ssrc
    uint16_t send_number            # transport-wide, of the next packet
    path_t *path                    # NULL before the first transport-wide feedback
    pacer_t pacer
    int64_t resend_budget           # bytes that may be repeated now
    uint64_t resend_filled_us
    arrival_t *arrivals
    int arrival_count
    int64_t last_number
    bint answered                   # feedback has gone out; then:
    int64_t next_number             # the first it will report on
    uint8_t answers
    uint64_t packets_in
    uint64_t packets_out
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t last_received_us
    bint has_clock_offset
    int64_t clock_offset            # 1/2**32 s: ours minus the publisher's NTP clock, least seen


cdef struct cached_t:
    int64_t extended                # 0: never written
    uint64_t at
    uint16_t length
    uint8_t kind
    uint8_t spatial
    uint8_t temporal
    bint ends


cdef struct layer_t:
    # One spatial layer of a stream: sfu.forward.LayerCount
    uint64_t bytes[MAX_TEMPORAL]
    uint64_t frames[MAX_TEMPORAL]
    bint started
    uint32_t timestamp              # of its newest frame
    int width
    int height


cdef struct dependencies_t         # dependency.pxi


cdef struct gate_t:
    int limit                       # 0: no gate
    int count
    stream_t *seats[C_MAX_SEATS]


cdef struct stream_t:
    void *object
    transport_t *transport          # NULL once removed
    uint32_t ssrc
    bint audio
    bint active
    uint8_t kind
    uint32_t clock
    slot_t **followers              # slots whose current or target stream this is
    int follower_count
    int follower_room
    # Sequence numbers, RFC 3550 A.1 and A.3.
    bint started
    bint suspect
    uint16_t suspect_next
    int64_t highest
    int64_t base
    uint64_t window[WINDOW / 64]
    int64_t received
    int64_t expected_before
    int64_t received_before
    uint8_t fraction_lost
    uint32_t jitter                 # times 16
    uint32_t transit
    bint has_transit
    int64_t loss_from               # newly skipped in this batch: [loss_from, loss_to)
    int64_t loss_to
    uint64_t packets
    uint64_t bytes
    uint64_t last_packet_us
    uint64_t last_keyframe_us
    uint16_t repaired               # the latest that RTX brought, and when
    uint64_t repaired_us
    uint64_t keyframe_asked_us
    bint described                  # its VP9 keyframes bring a scalability structure
    layer_t layers[MAX_SPATIAL]
    dependencies_t *dependencies    # once its codec needs them
    bint has_report
    uint64_t report_ntp
    uint32_t report_timestamp
    uint64_t report_us
    uint32_t levels
    uint32_t level_sum
    gate_t *gate                    # NULL: none
    bint seated
    bint shut                       # the latest packet did not go on
    int loudness                    # mean level, in sixteenths of a dB below full scale
    uint64_t seated_us
    uint64_t spoke_us
    cached_t *cached
    uint8_t *cache
    uint64_t cache_written
    # The batch being handled.
    int work_first
    int work_last
    bint touched
    bint waiting                    # a slot found no keyframe in it
    stream_t *next_touched


cdef struct epoch_t:
    # A stretch of one stream in a slot's timeline; what is added to the source's values. It begins with a switch, or
    # goes on behind packets of layers that were left out, or where layers come or go.
    bint continues
    stream_t *stream
    int64_t first_source
    int64_t first_out
    int64_t offset
    uint32_t timestamp
    uint16_t picture
    uint16_t frame
    uint8_t layer
    uint8_t spatial                 # highest layers that go out
    uint8_t temporal


cdef struct stamp_t:
    int64_t extended
    uint32_t send_time
    uint16_t number
    uint8_t pad


cdef struct resend_t:
    uint32_t number                 # low half of the extended sequence number
    uint32_t at_ms


cdef struct slot_t:
    void *object
    transport_t *transport          # NULL once removed
    uint32_t ssrc
    uint32_t rtx_ssrc
    bint has_rtx
    bint audio
    uint8_t mid[NAME_BYTES]
    int mid_length
    uint8_t payload_types[KINDS]
    uint8_t rtx_payload_types[KINDS]
    stream_t *current
    stream_t *target
    uint8_t priority
    pacer_t *pacer                  # what it waits for, or waited for last; and ...
    uint8_t line                    # ... the line of that, in which all stands that waits of it
    int waiting                     # packets
    int64_t sent_highest            # while some wait: `highest` of those that have gone
    bint is_shed                    # silent until the queue is short
    const char *cname               # of its Python object
    uint8_t cname_length
    bint resync                     # the current stream was interrupted: start over as after a switch
    bint same_timeline              # ... but the source's timestamps go on
    epoch_t *epoch                  # the newest
    epoch_t *epochs                 # a ring: `first_epochs`, or a larger one once layers are left out
    uint32_t epoch_room             # power of two
    uint32_t epoch_count
    epoch_t first_epochs[EPOCHS]
    uint8_t limit_spatial
    uint8_t limit_temporal
    bint layered                    # each packet's layers are looked at
    bint skipped                    # of the newest picture something was left out
    uint32_t picture_timestamp      # the source's, of the newest picture; while `layered`
    int64_t highest
    uint32_t last_timestamp
    uint64_t last_us
    bint has_picture
    bint has_layer
    bint has_frame
    uint16_t last_picture
    uint8_t last_layer
    uint16_t last_frame
    uint64_t rtx_packets
    uint64_t packets
    uint64_t bytes
    uint64_t retransmitted
    resend_t *resends
    stamp_t *stamps


cdef struct event_t:
    int event
    void *subject                   # transport_t, stream_t or slot_t
    stream_t *stream
    uint32_t ssrc
    uint8_t payload_type
    char mid[NAME_BYTES + 1]
    char rid[NAME_BYTES + 1]
    char repaired_rid[NAME_BYTES + 1]
    int64_t first
    uint64_t missing[LOSS_WORDS]


cdef struct route_t:
    pair_t pair
    transport_t *transport          # NULL: free


cdef struct waiting_t:
    # A packet that waits, in a line of a pacer, or free.
    waiting_t *next
    slot_t *slot
    epoch_t epoch                   # as it was when it came
    int64_t source                  # sequence number in the stream's cache
    uint8_t pad
    int length                      # at most
    uint64_t queued_us


cdef struct forwarder_t:
    void *object
    bint own_clock
    uint64_t now_us                 # of the batch being handled
    uint64_t arrived_us             # of the packet being handled: how long it waited for us is not the path's doing
    uint64_t seed
    route_t *routes                 # open addressing, linear probing
    uint32_t route_room             # power of two
    uint32_t route_count
    rtp_t work[WORK]
    int work_count
    stream_t *touched[2]            # [video?], in order of their first packet in this batch
    stream_t *last_touched[2]
    event_t events[MAX_EVENTS]
    int event_count
    uint64_t drops[DROPS]
    pacer_t uplink
    bint told_full                  # of its queue
    pacer_t *paths                  # those something waits for, and some that are empty by now
    waiting_t *nodes
    waiting_t *free_nodes
    int waiting                     # packets, of all pacers
    uint64_t drained_us
    uint64_t durations[DURATIONS]   # batches by the time from their arrival to their last copy
    uint64_t durations_us
    uint64_t packets_in[2]          # [video?]
    uint64_t packets_out[2]
    uint64_t bytes_in[2]
    uint64_t bytes_out[2]
    uint64_t retransmitted
    uint64_t padding_packets
    uint64_t padding_bytes
    uint64_t feedbacks
