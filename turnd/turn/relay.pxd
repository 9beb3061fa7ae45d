"""The compiled classes of the relay path; their structures are in relay_table.pxd."""

from wire.udp cimport Receiver, UdpSocket, endpoint_t

from turnd.turn.relay_table cimport path_t, peer_t, relay_t, table_t


cdef class RelayPath:
    cdef path_t state

cdef class ClientReceiver(Receiver):
    cdef readonly RelayPath path
    cdef table_t table
    cdef object on_messages
    cdef UdpSocket udp
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
    cdef Relay other
    cdef _share_client(self)
    cdef _open_stream(self, write, bint each)
    cdef _leave(self)
    cdef _part(self)
    cdef peer_t *_peer(self, const endpoint_t *endpoint) except NULL
