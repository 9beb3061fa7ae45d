"""What a relay knows about its client and its peers, and how a datagram finds it: flat structures, open addressing.

No Python object, no GIL. The peers of a relay are a dense array with two indexes, by endpoint and by channel; both are
rebuilt when something leaves, which only policy makes happen.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from wire.udp cimport endpoint_hash, endpoint_t, socket_t, turnd_mix


cdef enum:
    MAX_PEERS = 384                 # permissions and channels of one allocation together
    PEER_SLOTS = 1024
    CHANNEL_SLOTS = 512
    STREAM_BATCH_BYTES = 262144     # what one batch of datagrams may add to a stream
    UNFRAGMENTED_IPV4 = 1472        # payload of a datagram that fits Ethernet's 1500 bytes
    UNFRAGMENTED_IPV6 = 1452

cdef enum drop_t:
    MALFORMED
    NO_ALLOCATION
    NO_CHANNEL
    NO_PERMISSION
    PEER_NO_PERMISSION
    DENIED
    OVERSIZE
    STREAM_FULL
    CLOSED
    DROPS

cdef struct path_t:
    # State of the process: which of our own ports may be reached through a relay, and totals.
    uint64_t open_ports[2][1024]    # [0]: IPv4, [1]: IPv6; one bit a port
    uint64_t seed
    uint64_t sequence               # transaction ids of Data indications
    uint64_t packets_to_peer
    uint64_t bytes_to_peer
    uint64_t packets_to_client
    uint64_t bytes_to_client
    uint64_t dropped[DROPS]

cdef struct peer_t:
    endpoint_t endpoint             # port 0: a permission, for the address alone
    uint64_t expires_us
    uint16_t channel                # 0 for a permission
    bint restricted                 # one of our own addresses: only `open_ports` may be reached

cdef struct relay_t:
    path_t *path
    socket_t *relay_socket          # NULL: closed
    socket_t *client_socket         # NULL: the client is on a stream (or the relay is closed)
    endpoint_t client
    endpoint_t local
    peer_t *peers
    int count
    int room
    uint16_t peer_index[PEER_SLOTS]         # 0: empty, else position in `peers` + 1
    uint16_t channel_index[CHANNEL_SLOTS]
    bint paused                     # the stream's buffer is over its bound
    uint8_t *stream                 # what the batch adds to the stream
    uint32_t stream_length
    uint64_t packets_to_peer
    uint64_t bytes_to_peer
    uint64_t packets_to_client
    uint64_t bytes_to_client

cdef struct table_t:
    path_t *path
    relay_t **slots                 # keyed by client and local endpoint; capacity is a power of two
    int count
    int capacity


cdef inline bint is_ipv4(const endpoint_t *endpoint) noexcept nogil:       # ::ffff:0:0/96, low as it stands in memory
    return endpoint.high == 0 and (endpoint.low & <uint64_t>0xFFFFFFFF) == <uint64_t>0xFFFF0000


cdef inline bint port_open(const path_t *path, const endpoint_t *endpoint) noexcept nogil:
    cdef int family = 0 if is_ipv4(endpoint) else 1
    return (path.open_ports[family][endpoint.port >> 6] >> (endpoint.port & 63)) & 1


cdef inline void count_drop(path_t *path, drop_t reason) noexcept nogil:
    path.dropped[<int>reason] += 1


cdef inline bint same_address(const endpoint_t *a, const endpoint_t *b) noexcept nogil:
    return a.high == b.high and a.low == b.low


cdef inline uint32_t channel_slot(uint32_t channel) noexcept nogil:
    return (channel * <uint32_t>40503) >> 4 & (CHANNEL_SLOTS - 1)


# Peers of one relay: a dense array with two open-addressing indexes, rebuilt when something leaves.

cdef inline peer_t *find_peer(const relay_t *relay, const endpoint_t *endpoint, uint32_t port) noexcept nogil:
    cdef endpoint_t wanted = endpoint[0]
    cdef peer_t *peer
    cdef uint32_t slot
    wanted.port = <uint16_t>port
    slot = endpoint_hash(&wanted, relay.path.seed) & (PEER_SLOTS - 1)
    while relay.peer_index[slot]:
        peer = relay.peers + relay.peer_index[slot] - 1
        if same_address(&peer.endpoint, endpoint) and peer.endpoint.port == port:
            return peer
        slot = (slot + 1) & (PEER_SLOTS - 1)
    return NULL


cdef inline peer_t *find_channel(const relay_t *relay, uint32_t channel) noexcept nogil:
    cdef peer_t *peer
    cdef uint32_t slot = channel_slot(channel)
    while relay.channel_index[slot]:
        peer = relay.peers + relay.channel_index[slot] - 1
        if peer.channel == channel:
            return peer
        slot = (slot + 1) & (CHANNEL_SLOTS - 1)
    return NULL


cdef inline void index_peer(relay_t *relay, int position) noexcept nogil:
    cdef peer_t *peer = relay.peers + position
    cdef uint32_t slot = endpoint_hash(&peer.endpoint, relay.path.seed) & (PEER_SLOTS - 1)
    while relay.peer_index[slot]:
        slot = (slot + 1) & (PEER_SLOTS - 1)
    relay.peer_index[slot] = <uint16_t>(position + 1)
    if peer.channel:
        slot = channel_slot(peer.channel)
        while relay.channel_index[slot]:
            slot = (slot + 1) & (CHANNEL_SLOTS - 1)
        relay.channel_index[slot] = <uint16_t>(position + 1)


cdef inline void rebuild_index(relay_t *relay) noexcept nogil:
    cdef int position
    memset(relay.peer_index, 0, sizeof(relay.peer_index))
    memset(relay.channel_index, 0, sizeof(relay.channel_index))
    for position in range(relay.count):
        index_peer(relay, position)


cdef inline void remove_peer(relay_t *relay, peer_t *peer) noexcept nogil:
    relay.count -= 1
    peer[0] = relay.peers[relay.count]
    rebuild_index(relay)


cdef inline int drop_expired(relay_t *relay, uint64_t now) noexcept nogil:
    cdef int position = 0, kept = 0
    for position in range(relay.count):
        if relay.peers[position].expires_us > now:
            relay.peers[kept] = relay.peers[position]
            kept += 1
    position = relay.count - kept
    relay.count = kept
    rebuild_index(relay)
    return position


cdef inline uint32_t table_slot(const table_t *table, const endpoint_t *client, const endpoint_t *local) noexcept nogil:
    cdef uint64_t mixed = turnd_mix(endpoint_hash(client, table.path.seed), endpoint_hash(local, ~table.path.seed))
    return <uint32_t>mixed & <uint32_t>(table.capacity - 1)


cdef inline bint is_flow(const relay_t *relay, const endpoint_t *client, const endpoint_t *local) noexcept nogil:
    return (
        same_address(&relay.client, client)
        and relay.client.port == client.port
        and same_address(&relay.local, local)
        and relay.local.port == local.port
    )


cdef inline relay_t *find_relay(const table_t *table, const endpoint_t *client, const endpoint_t *local) noexcept nogil:
    cdef uint32_t slot = table_slot(table, client, local)
    while table.slots[slot] != NULL:
        if is_flow(table.slots[slot], client, local):
            return table.slots[slot]
        slot = (slot + 1) & <uint32_t>(table.capacity - 1)
    return NULL


cdef inline void place_relay(table_t *table, relay_t *relay) noexcept nogil:
    cdef uint32_t slot = table_slot(table, &relay.client, &relay.local)
    while table.slots[slot] != NULL:
        slot = (slot + 1) & <uint32_t>(table.capacity - 1)
    table.slots[slot] = relay
