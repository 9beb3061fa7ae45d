"""What a relay knows about its client and its peers, and how a datagram finds it: flat structures, open addressing.

No Python object, no GIL. The peers of a relay are a dense array, searched in order while it is short; a longer one has
two indexes, by endpoint and by channel, rebuilt when something leaves, which only policy makes happen.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memset

from wire.udp cimport endpoint_hash, endpoint_t, socket_t, turnd_mix


cdef enum:
    MAX_PEERS = 384                 # permissions and channels of one allocation together
    PEER_SLOTS = 1024
    CHANNEL_SLOTS = 512
    UNINDEXED_PEERS = 8             # searched in order; more are found by index
    STREAM_BATCH_BYTES = 262144     # what one batch of datagrams may add to a stream

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
    ALLOCATION_BANDWIDTH
    TOTAL_BANDWIDTH
    DROPS

cdef struct bucket_t:
    # A token bucket of bytes that holds at most what comes in one second; rate 0: unlimited.
    uint64_t bytes_per_second
    int64_t tokens
    uint64_t filled_us

cdef struct budget_t:
    bucket_t to_peer
    bucket_t to_client

cdef struct path_t:
    # State of the process: which of our own ports may be reached through a relay, and totals.
    uint64_t open_ports[2][1024]    # [0]: IPv4, [1]: IPv6; one bit a port
    uint64_t seed                   # of the hash tables; nothing that leaves the process is made of it
    uint8_t random[4092]            # of the kernel, for transaction ids of Data indications
    int random_left
    uint64_t packets_to_peer
    uint64_t bytes_to_peer
    uint64_t packets_to_client
    uint64_t bytes_to_client
    uint64_t icmp_to_client
    uint64_t dropped[DROPS]
    uint64_t dropped_bytes[DROPS]   # of what is over a bound of bandwidth alone
    budget_t total

cdef struct peer_t:
    endpoint_t endpoint             # port 0: a permission, for the address alone
    uint64_t expires_us
    uint16_t channel                # 0 for a permission
    bint restricted                 # one of our own addresses: only `open_ports` may be reached

cdef struct peer_index_t:
    uint16_t by_endpoint[PEER_SLOTS]        # 0: empty, else position in `peers` + 1
    uint16_t by_channel[CHANNEL_SLOTS]

cdef struct relay_t:
    path_t *path
    relay_t *other                  # of the same allocation, for the other family; NULL: none
    budget_t *budget                # the allocation's: `own_budget` of one of its relays
    budget_t own_budget
    socket_t *relay_socket          # NULL: closed
    socket_t *client_socket         # NULL: the client is on a stream (or the relay is closed)
    endpoint_t client
    endpoint_t local
    peer_t *peers
    int count
    int room
    peer_index_t *index             # NULL while there are few peers
    bint in_table                   # of its ClientReceiver: of a pair one of the two is
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


cdef inline bint count_excess(path_t *path, drop_t reason, uint32_t length) noexcept nogil:
    """Counts a drop over a bound of bandwidth, in bytes too; False."""
    count_drop(path, reason)
    path.dropped_bytes[<int>reason] += length
    return False


cdef inline bint same_address(const endpoint_t *a, const endpoint_t *b) noexcept nogil:
    return a.high == b.high and a.low == b.low


cdef inline uint32_t channel_slot(uint32_t channel) noexcept nogil:
    return (channel * <uint32_t>40503) >> 4 & (CHANNEL_SLOTS - 1)


cdef inline bint has_tokens(bucket_t *bucket, uint32_t length, uint64_t now) noexcept nogil:
    """Whether `length` bytes may pass now."""
    cdef uint64_t elapsed, gained, rate = bucket.bytes_per_second
    if not rate or bucket.tokens >= <int64_t>length:
        return True
    elapsed = now - bucket.filled_us
    if elapsed >= 1_000_000:
        bucket.filled_us = now
        bucket.tokens = <int64_t>rate
    else:
        gained = elapsed * rate // 1_000_000
        bucket.filled_us += (gained * 1_000_000 + rate - 1) // rate  # time too short for a byte is not lost
        bucket.tokens = min(bucket.tokens + <int64_t>gained, <int64_t>rate)
    return bucket.tokens >= <int64_t>length


cdef inline bint within_budget(relay_t *relay, bint to_peer, uint32_t length, uint64_t now) noexcept nogil:
    """Takes `length` bytes from what the allocation and all of them may relay; counts the drop otherwise."""
    cdef bucket_t *own = &relay.budget.to_peer if to_peer else &relay.budget.to_client
    cdef bucket_t *total = &relay.path.total.to_peer if to_peer else &relay.path.total.to_client
    if not has_tokens(own, length, now):
        return count_excess(relay.path, ALLOCATION_BANDWIDTH, length)
    if not has_tokens(total, length, now):
        return count_excess(relay.path, TOTAL_BANDWIDTH, length)
    own.tokens -= length
    total.tokens -= length
    return True


cdef inline void set_budget(budget_t *budget, uint64_t bytes_per_second, uint64_t now) noexcept nogil:
    """A new rate for both directions, with full buckets."""
    budget.to_peer.bytes_per_second = budget.to_client.bytes_per_second = bytes_per_second
    budget.to_peer.tokens = budget.to_client.tokens = <int64_t>bytes_per_second
    budget.to_peer.filled_us = budget.to_client.filled_us = now


# Peers of one relay: a dense array, with two open-addressing indexes once it is long.

cdef inline bint is_peer(const peer_t *peer, const endpoint_t *endpoint, uint32_t port) noexcept nogil:
    return same_address(&peer.endpoint, endpoint) and peer.endpoint.port == port


cdef inline peer_t *find_peer(const relay_t *relay, const endpoint_t *endpoint, uint32_t port) noexcept nogil:
    cdef endpoint_t wanted
    cdef uint32_t slot
    cdef int position
    if relay.index == NULL:
        for position in range(relay.count):
            if is_peer(relay.peers + position, endpoint, port):
                return relay.peers + position
        return NULL
    wanted = endpoint[0]
    wanted.port = <uint16_t>port
    slot = endpoint_hash(&wanted, relay.path.seed) & (PEER_SLOTS - 1)
    while relay.index.by_endpoint[slot]:
        if is_peer(relay.peers + relay.index.by_endpoint[slot] - 1, endpoint, port):
            return relay.peers + relay.index.by_endpoint[slot] - 1
        slot = (slot + 1) & (PEER_SLOTS - 1)
    return NULL


cdef inline peer_t *find_channel(const relay_t *relay, uint32_t channel) noexcept nogil:
    cdef peer_t *peer
    cdef uint32_t slot = channel_slot(channel)
    cdef int position
    if relay.index == NULL:
        for position in range(relay.count):
            if relay.peers[position].channel == channel:
                return relay.peers + position
        return NULL
    while relay.index.by_channel[slot]:
        peer = relay.peers + relay.index.by_channel[slot] - 1
        if peer.channel == channel:
            return peer
        slot = (slot + 1) & (CHANNEL_SLOTS - 1)
    return NULL


cdef inline void index_peer(relay_t *relay, int position) noexcept nogil:
    cdef peer_t *peer = relay.peers + position
    cdef uint32_t slot = endpoint_hash(&peer.endpoint, relay.path.seed) & (PEER_SLOTS - 1)
    while relay.index.by_endpoint[slot]:
        slot = (slot + 1) & (PEER_SLOTS - 1)
    relay.index.by_endpoint[slot] = <uint16_t>(position + 1)
    if peer.channel:
        slot = channel_slot(peer.channel)
        while relay.index.by_channel[slot]:
            slot = (slot + 1) & (CHANNEL_SLOTS - 1)
        relay.index.by_channel[slot] = <uint16_t>(position + 1)


cdef inline void rebuild_index(relay_t *relay) noexcept nogil:
    cdef int position
    if relay.index != NULL:
        memset(relay.index, 0, sizeof(peer_index_t))
        for position in range(relay.count):
            index_peer(relay, position)


cdef inline bint added_peer(relay_t *relay) noexcept nogil:
    """Makes the last of `peers` known to the index, which begins with the first peer too many; False: no memory."""
    if relay.index != NULL:
        index_peer(relay, relay.count - 1)
    elif relay.count > UNINDEXED_PEERS:
        relay.index = <peer_index_t *>calloc(1, sizeof(peer_index_t))
        rebuild_index(relay)
        return relay.index != NULL
    return True


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


cdef inline bint remove_relay(table_t *table, const relay_t *relay) noexcept nogil:
    """Takes a relay out; those behind it move up, so that no search ends early. False: it was not there."""
    cdef uint32_t mask = <uint32_t>(table.capacity - 1)
    cdef uint32_t hole = table_slot(table, &relay.client, &relay.local)
    cdef uint32_t slot, home
    while table.slots[hole] != relay:
        if table.slots[hole] == NULL:
            return False
        hole = (hole + 1) & mask
    table.count -= 1
    slot = hole
    while True:
        slot = (slot + 1) & mask
        if table.slots[slot] == NULL:
            break
        home = table_slot(table, &table.slots[slot].client, &table.slots[slot].local)
        if ((slot - home) & mask) >= ((slot - hole) & mask):
            table.slots[hole] = table.slots[slot]
            hole = slot
    table.slots[hole] = NULL
    return True
