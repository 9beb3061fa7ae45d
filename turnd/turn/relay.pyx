"""The TURN packet path (RFC 8656 §11, §12): ChannelData from clients to peers, peers' datagrams to clients.

Policy is in Python: it opens relays, installs permissions and channels with their expiry, and names the ports of ours
that may be reached. This code follows those fields, counts, and drops with a named reason. One loop owns everything: no
locks. State is declared in relay_table.pxd, what messages look like is in relay_messages.pxd, the way of packets in
relay_to_peer.pxi and relay_to_client.pxi; the Python faces that own the state are here.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from turnd.turn.relay_messages cimport (
    indication_length,
    is_relayed_icmp,
    is_stun,
    read16,
    write16,
    write_icmp_indication,
    write_indication,
)
from turnd.turn.relay_table cimport (
    ALLOCATION_BANDWIDTH,
    CLOSED,
    DENIED,
    DROPS,
    MALFORMED,
    MAX_PEERS,
    NO_ALLOCATION,
    NO_CHANNEL,
    NO_PERMISSION,
    OVERSIZE,
    PEER_NO_PERMISSION,
    STREAM_BATCH_BYTES,
    STREAM_FULL,
    added_peer,
    count_drop,
    drop_expired,
    drop_t,
    find_channel,
    find_peer,
    find_relay,
    is_flow,
    peer_t,
    place_relay,
    port_open,
    rebuild_index,
    relay_t,
    remove_peer,
    remove_relay,
    same_address,
    set_budget,
    table_t,
    within_budget,
)
from wire.udp cimport (
    UDP_MAX_PAYLOAD,
    Receiver,
    UdpSocket,
    endpoint_from_python,
    endpoint_t,
    icmp_t,
    monotonic_us,
    packet_t,
    udp_commit,
    udp_dont_fragment,
    udp_flush,
    udp_reserve,
)

MAX_RELAY_PEERS = MAX_PEERS
DROP_REASONS = (
    "malformed",
    "no_allocation",
    "no_channel",
    "no_permission",
    "peer_no_permission",
    "denied",
    "oversize",
    "stream_full",
    "closed",
    "allocation_bandwidth",
    "total_bandwidth",
)
BANDWIDTH_REASONS = DROP_REASONS[<int>ALLOCATION_BANDWIDTH:]

include "relay_to_peer.pxi"
include "relay_to_client.pxi"


cdef list split_messages(const uint8_t *data, uint32_t length):
    cdef list messages = []
    cdef uint32_t size, at = 0
    while at < length:
        size = read16(data + at + 2)
        size = 20 + size if data[at] < 0x40 else 4 + ((size + 3) & ~<uint32_t>3)
        messages.append(data[at:at + size])
        at += size
    return messages


cdef uint64_t microseconds(double seconds):
    return <uint64_t>(seconds * 1e6) if seconds > 0 else 0


cdef class RelayPath:
    """What all relays of the process share: totals, and the ports of ours that clients may reach through a relay."""

    def __cinit__(self, bytes seed not None):
        if len(seed) < 8:
            raise ValueError("the seed has at least 8 bytes")
        memcpy(&self.state.seed, <const char *>seed, 8)

    def open_port(self, int family, int port):
        cdef uint32_t at = <uint32_t>port
        if family not in (4, 6) or not 0 < port < 65536:
            raise ValueError("no such port")
        self.state.open_ports[family == 6][at >> 6] |= <uint64_t>1 << (at & 63)

    def close_port(self, int family, int port):
        cdef uint32_t at = <uint32_t>port
        if family not in (4, 6) or not 0 < port < 65536:
            raise ValueError("no such port")
        self.state.open_ports[family == 6][at >> 6] &= ~(<uint64_t>1 << (at & 63))

    def is_open(self, address):
        cdef endpoint_t endpoint
        endpoint_from_python(address, &endpoint)
        return bool(port_open(&self.state, &endpoint))

    def limit(self, uint64_t bytes_per_second):
        set_budget(&self.state.total, bytes_per_second, monotonic_us())

    def counters(self):
        cdef int reason
        result = {
            "packets_to_peer": self.state.packets_to_peer,
            "bytes_to_peer": self.state.bytes_to_peer,
            "packets_to_client": self.state.packets_to_client,
            "bytes_to_client": self.state.bytes_to_client,
            "icmp_to_client": self.state.icmp_to_client,
        }
        for reason in range(<int>DROPS):
            result["dropped_" + DROP_REASONS[reason]] = self.state.dropped[reason]
        for reason in range(<int>ALLOCATION_BANDWIDTH, <int>DROPS):
            result["dropped_bytes_" + DROP_REASONS[reason]] = self.state.dropped_bytes[reason]
        return result


cdef class ClientReceiver(Receiver):
    """Receives on one UDP listening socket: forwards ChannelData, gives STUN to `on_messages` as one list a batch."""

    def __cinit__(self, RelayPath path not None, on_messages):
        self.path = path
        self.on_messages = on_messages
        self.table.path = &path.state
        self.table.capacity = 64
        self.table.slots = <relay_t **>calloc(64, sizeof(relay_t *))
        if self.table.slots == NULL:
            raise MemoryError
        self.receive = receive_from_clients
        self.context = <void *>self

    def __dealloc__(self):
        free(self.table.slots)

    cdef object dispatch(self):
        if self.udp is None:
            raise RuntimeError("no socket attached")
        self.answer(self.udp.handle, self.on_messages)

    def attach_socket(self, UdpSocket udp not None):
        self.udp = udp

    cdef _resize(self, int capacity):
        cdef relay_t **old = self.table.slots
        cdef int size = self.table.capacity, slot
        cdef relay_t **slots = <relay_t **>calloc(capacity, sizeof(relay_t *))
        if slots == NULL:
            raise MemoryError
        self.table.slots = slots
        self.table.capacity = capacity
        for slot in range(size):
            if old[slot] != NULL:
                place_relay(&self.table, old[slot])
        free(old)

    cdef _add(self, relay_t *relay):
        if find_relay(&self.table, &relay.client, &relay.local) != NULL:
            raise ValueError("the 5-tuple has a relay already")
        if (self.table.count + 1) * 2 > self.table.capacity:
            self._resize(self.table.capacity * 2)
        place_relay(&self.table, relay)
        self.table.count += 1
        relay.in_table = True

    cdef _remove(self, relay_t *relay):
        remove_relay(&self.table, relay)
        relay.in_table = False

    def __len__(self):
        return self.table.count


cdef class Relay(Receiver):
    """One relayed transport address: the receiver of its socket, its client, and the peers it may talk to."""

    def __cinit__(self, RelayPath path not None):
        self.path = path
        self.state.path = &path.state
        self.state.budget = &self.state.own_budget
        self.receive = receive_from_peers
        self.receive_icmp = receive_icmp_of_peers
        self.any_local = True
        self.context = <void *>self

    def __dealloc__(self):
        free(self.state.peers)
        free(self.state.index)
        free(self.state.stream)

    cdef object dispatch(self):
        cdef uint32_t length = self.state.stream_length
        if not length:
            return
        self.state.stream_length = 0
        if self.write_each:
            for message in split_messages(self.state.stream, length):
                self.write(message)
        else:
            self.write(self.state.stream[:length])

    def attach_socket(self, UdpSocket relay_udp not None):
        self.relay_udp = relay_udp
        self.state.relay_socket = relay_udp.handle

    def serve_datagrams(self, ClientReceiver clients not None, UdpSocket client_udp not None, client, local):
        if self.clients is not None or self.write is not None:
            raise ValueError("the relay has a client already")
        endpoint_from_python(client, &self.state.client)
        endpoint_from_python(local, &self.state.local)
        clients._add(&self.state)
        self.clients = clients
        self.client_udp = client_udp
        self.state.client_socket = client_udp.handle
        self._share_client()

    def serve_stream(self, write not None, *, bint each=False):
        if self.clients is not None or self.write is not None:
            raise ValueError("the relay has a client already")
        self._open_stream(write, each)
        self._share_client()

    cdef _open_stream(self, write, bint each):
        self.state.stream = <uint8_t *>malloc(STREAM_BATCH_BYTES)
        if self.state.stream == NULL:
            raise MemoryError
        self.write = write
        self.write_each = each

    cdef peer_t *_peer(self, const endpoint_t *endpoint) except NULL:
        cdef relay_t *relay = &self.state
        cdef peer_t *peer = find_peer(relay, endpoint, endpoint.port)
        cdef peer_t *larger
        cdef int room
        if peer != NULL:
            return peer
        if relay.count >= MAX_PEERS:
            drop_expired(relay, monotonic_us())
        if relay.count >= MAX_PEERS:
            raise ValueError("too many peers")
        if relay.count == relay.room:
            room = relay.room * 2 if relay.room else 2
            larger = <peer_t *>realloc(relay.peers, room * sizeof(peer_t))
            if larger == NULL:
                raise MemoryError
            relay.peers = larger
            relay.room = room
        peer = relay.peers + relay.count
        memset(peer, 0, sizeof(peer_t))
        peer.endpoint = endpoint[0]
        relay.count += 1
        if not added_peer(relay):
            relay.count -= 1
            raise MemoryError
        return peer

    def permit(self, host, double expires_at, bint restricted):
        cdef endpoint_t endpoint
        cdef peer_t *peer
        endpoint_from_python((host, 0), &endpoint)
        peer = self._peer(&endpoint)
        peer.expires_us = microseconds(expires_at)
        peer.restricted = restricted

    def bind_channel(self, int channel, address, double expires_at):
        cdef endpoint_t endpoint
        cdef peer_t *peer
        if not 0x4000 <= channel <= 0x7FFF:
            raise ValueError("not a channel number")
        endpoint_from_python(address, &endpoint)
        if not endpoint.port:
            raise ValueError("a channel needs a port")
        peer = find_channel(&self.state, <uint32_t>channel)
        if peer != NULL and not (same_address(&peer.endpoint, &endpoint) and peer.endpoint.port == endpoint.port):
            remove_peer(&self.state, peer)
        if self.state.other != NULL:
            peer = find_channel(self.state.other, <uint32_t>channel)
            if peer != NULL:
                remove_peer(self.state.other, peer)
        peer = self._peer(&endpoint)
        peer.expires_us = microseconds(expires_at)
        if peer.channel != channel:
            peer.channel = <uint16_t>channel
            rebuild_index(&self.state)

    def send(self, address, bytes data not None, bint dont_fragment=False):
        cdef endpoint_t endpoint
        cdef const uint8_t *start = <const uint8_t *><const char *>data
        cdef uint64_t now = monotonic_us()
        cdef uint32_t length
        if len(data) > UDP_MAX_PAYLOAD:
            count_drop(self.state.path, OVERSIZE)
            return
        length = <uint32_t>len(data)
        endpoint_from_python(address, &endpoint)
        if self.state.relay_socket == NULL or not endpoint.port:
            count_drop(self.state.path, CLOSED)
        elif permitted(&self.state, &endpoint, now, NO_PERMISSION):
            if dont_fragment:
                udp_flush()             # what waits to leave may be fragmented
                udp_dont_fragment(self.state.relay_socket, True)
            to_peer(&self.state, &endpoint, start, length, now)
            udp_flush()
            if dont_fragment:
                udp_dont_fragment(self.state.relay_socket, False)

    def forward(self, list messages not None):
        cdef uint64_t now = monotonic_us()
        cdef bytes message
        for message in messages:
            channel_to_peer(&self.state, <const uint8_t *><const char *>message, <uint32_t>len(message), now)
        udp_flush()

    @property
    def paused(self):
        return bool(self.state.paused)

    @paused.setter
    def paused(self, bint value):
        self.state.paused = value
        if self.other is not None:
            self.other.state.paused = value

    @property
    def local_address(self):
        return self.relay_udp.local_address

    @property
    def peers(self):
        return self.state.count

    def counters(self):
        return {
            "packets_to_peer": self.state.packets_to_peer,
            "bytes_to_peer": self.state.bytes_to_peer,
            "packets_to_client": self.state.packets_to_client,
            "bytes_to_client": self.state.bytes_to_client,
        }

    def pair(self, Relay first not None):
        if self.other is not None or first.other is not None or self.clients is not None or self.write is not None:
            raise ValueError("the relay is one of a pair, or has a client, already")
        self.other, first.other = first, self
        self.state.other, first.state.other = &first.state, &self.state
        self.state.budget = first.state.budget
        first._share_client()

    cdef _share_client(self):
        """The client of this relay becomes that of the other one of the pair."""
        cdef Relay other = self.other
        if other is None:
            return
        other.clients, other.client_udp = self.clients, self.client_udp
        other.state.client, other.state.local = self.state.client, self.state.local
        other.state.client_socket = self.state.client_socket
        if self.write is not None:
            other._open_stream(self.write, self.write_each)
        other.state.paused = self.state.paused

    def limit(self, uint64_t bytes_per_second):
        set_budget(self.state.budget, bytes_per_second, monotonic_us())

    def leave(self):
        for relay in (self, self.other):
            if relay is not None:
                (<Relay>relay).dispatch()                       # what this drain has brought for a stream already
                (<Relay>relay)._leave()

    cdef _leave(self):
        if self.state.in_table:
            self.clients._remove(&self.state)
        self.clients = self.client_udp = self.write = None
        self.state.client_socket = NULL
        self.state.stream_length = 0
        self.state.paused = False
        free(self.state.stream)
        self.state.stream = NULL

    cdef _part(self):
        """The other relay of the allocation, if there is one, goes on alone, where this one was found."""
        cdef Relay other = self.other
        if other is None:
            return
        if self.state.in_table:
            self.clients._remove(&self.state)
            other.clients._add(&other.state)
        other.state.own_budget = other.state.budget[0]
        other.state.budget = &other.state.own_budget
        self.state.budget = &self.state.own_budget
        self.other = other.other = None
        self.state.other = other.state.other = NULL

    def close(self):
        self._part()
        self._leave()
        self.state.relay_socket = NULL
        self.state.count = 0
        rebuild_index(&self.state)
        if self.relay_udp is not None:
            relay_udp, self.relay_udp = self.relay_udp, None
            relay_udp.close()
