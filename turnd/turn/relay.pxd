"""The relay path's structures; `Relay` is one allocation's packet path, `RelayPath` what all of them share."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wire.udp cimport Receiver, endpoint_t, socket_t

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

cdef class RelayPath:
    cdef path_t state

cdef class ClientReceiver(Receiver):
    cdef readonly RelayPath path
    cdef table_t table
    cdef object on_messages
    cdef _resize(self, int capacity)
    cdef _add(self, relay_t *relay)
    cdef _remove(self, relay_t *relay)

cdef class Relay(Receiver):
    cdef readonly RelayPath path
    cdef relay_t state
    cdef ClientReceiver clients
    cdef object relay_udp, client_udp       # keep the sockets' handles alive
    cdef object write
    cdef bint write_each
    cdef peer_t *_peer(self, const endpoint_t *endpoint) except NULL
