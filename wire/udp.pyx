"""UDP sockets in batches: recvmmsg and GRO in, sendmmsg and GSO out, and delivery in memory between our own ports.

All sockets of a loop wait in one epoll instance, which the loop watches. One drain of it is: up to MAX_ROUNDS times
a batch of each socket that is ready -> its receiver's `receive`, then one flush; then the datagrams that are for
ourselves, which never reach the kernel; all of that without the GIL. Then `dispatch` of every receiver that
asked for it. What is left of the work in memory goes to the loop's next turn.

The batch buffers, the queue in memory and the port table belong to the process: one event loop, one thread, no locks.
A `socket_t` belongs to its `UdpSocket` and lives as long. Counted once each: a datagram that the kernel took is in
`datagrams_out`, one handed over in memory in `memory_out`, every other one in exactly one of the `dropped_` reasons.
"""

import os
import warnings

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport (
    EACCES, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, EINTR, EINVAL, EIO, EMSGSIZE,
    ENETDOWN, ENETUNREACH, ENOBUFS, ENOMEM, EPERM, errno)
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, clockid_t
from posix.time cimport timespec as timespec_t

from wire.linux_udp cimport *
from wire.uring cimport URING_ENTRIES, uring_open, uring_run, uring_send
from wire.linux_udp cimport bind as bind_fd, close as close_fd, socket as open_fd

# One module on five pages: its parts share their buffers, and the compiler may inline across them.
include "udp_state.pxi"
include "udp_receive.pxi"
include "udp_send.pxi"
include "udp_memory.pxi"


# ---- with the GIL: the end of a drain -------------------------------------------------------------------------------

cdef void schedule_settle() noexcept with gil:
    """For work that was made outside a drain, or was left by it."""
    global settle_scheduled
    if not settle_scheduled and _loop is not None and not _loop.is_closed():
        settle_scheduled = True
        _loop.call_soon(_settle_soon)


def _settle_soon():
    global settle_scheduled
    settle_scheduled = False
    settle()


cdef object settle():
    """Delivers in memory and dispatches to Python."""
    global draining
    draining = True
    try:
        with nogil:
            deliver_in_memory()
        dispatch_touched()
        udp_flush()
    finally:
        draining = False
    if in_memory.head != NULL or touched_receivers != NULL:
        schedule_settle()


cdef object dispatch_touched():
    global touched_receivers
    cdef list receivers = []
    cdef Receiver receiver
    while touched_receivers != NULL:
        receiver = <Receiver>touched_receivers
        touched_receivers = receiver.next_touched
        receiver.touched = False
        receivers.append(receiver)
    receivers.reverse()
    for receiver in receivers:
        try:
            receiver.dispatch()
        except Exception as error:
            _loop.call_exception_handler({"message": f"{type(receiver).__name__} failed", "exception": error})


cdef list datagrams_to_python(const queue_t *queue):
    cdef list result = []
    cdef const datagram_t *d = queue.head
    cdef const datagram_t *previous = NULL
    local = None
    while d != NULL:
        if previous == NULL or not endpoint_equal(&d.local, &previous.local):   # mostly it is the same for all
            local = endpoint_to_python(&d.local)
        result.append((
            d.tag, PyBytes_FromStringAndSize(<const char *>d.data, d.length), endpoint_to_python(&d.remote), local,
            d.arrived_us / 1e6))
        previous = d
        d = d.next
    return result


# ---- the classes ----------------------------------------------------------------------------------------------------

cdef class Receiver:
    """Base of what handles a socket's datagrams; subclasses are compiled, see udp.pxd."""

    def __cinit__(self):
        self.kept = <queue_t *>calloc(1, sizeof(queue_t))
        if self.kept == NULL:
            raise MemoryError

    def __dealloc__(self):
        global touched_receivers
        cdef void *other = touched_receivers
        if self.touched:
            if other == <void *>self:
                touched_receivers = self.next_touched
            else:
                while (<Receiver>other).next_touched != <void *>self:
                    other = (<Receiver>other).next_touched
                (<Receiver>other).next_touched = self.next_touched
        if self.kept != NULL:
            clear(self.kept)
            free(self.kept)

    cdef bint keep(self, const packet_t *packet, int tag) noexcept nogil:
        cdef datagram_t *d = NULL
        if self.kept.count < MAX_KEPT_DATAGRAMS and self.kept.bytes + packet.length <= MAX_KEPT_BYTES:
            d = copy_datagram(packet.data, packet.length)
        if d == NULL:
            if receiving != NULL:
                count(receiving, DROPPED_KEPT_FULL, 1)
            return False
        d.remote = packet.source
        d.local = packet.local
        d.arrived_us = packet.arrived_us
        d.tag = tag
        append(self.kept, d)
        self.wake()
        return True

    cdef list take(self):
        cdef queue_t batch = self.kept[0]
        memset(self.kept, 0, sizeof(queue_t))
        try:
            return datagrams_to_python(&batch)
        finally:
            clear(&batch)

    cdef object answer(self, socket_t *s, respond):
        cdef queue_t batch = self.kept[0]
        cdef datagram_t *d = batch.head
        cdef bytes data
        memset(self.kept, 0, sizeof(queue_t))
        try:
            if d != NULL:
                for data in respond(datagrams_to_python(&batch)):
                    if data is not None:
                        memcpy(udp_reserve(<int>len(data)), <const char *>data, len(data))
                        udp_commit(s, &d.remote, &d.local, <int>len(data))
                    d = d.next
        finally:
            clear(&batch)

    cdef void wake(self) noexcept nogil:
        global touched_receivers
        if not self.touched:
            self.touched = True
            self.next_touched = touched_receivers
            touched_receivers = <void *>self
            if not draining:
                schedule_settle()

    cdef object dispatch(self):
        return None


cdef void keep_all(void *context, packet_t *batch, int number) noexcept nogil:
    cdef int i
    for i in range(number):
        (<Receiver>context).keep(&batch[i], 0)


cdef class CallbackReceiver(Receiver):
    """Hands every datagram to a Python function: for tests and tools."""

    cdef object _callback

    def __cinit__(self):
        self.receive = keep_all
        self.context = <void *>self
        self.timed = True

    def __init__(self, callback):
        self._callback = callback

    cdef object dispatch(self):
        return self._callback(self.take())


cdef class UdpSocket:
    """A bound UDP socket on the event loop; it stays open until `close`."""

    def __cinit__(self):
        self.handle = <socket_t *>calloc(1, sizeof(socket_t))
        if self.handle == NULL:
            raise MemoryError
        self.handle.fd = -1
        self.handle.component_counters = uncounted

    def __init__(
            self, loop, address, Receiver receiver not None, *, str component not None, receive_buffer_bytes=4 << 20,
            announced=""):
        cdef socket_t *s = self.handle
        cdef Poller poller
        if self.receiver is not None:
            raise RuntimeError("initialized twice")
        if receiver.receive == NULL:
            raise TypeError(f"{type(receiver).__name__} has no receive function")
        endpoint_from_python(address, &s.bound)
        s.v6 = is_v6(&s.bound)
        s.wildcard = is_wildcard(&s.bound)
        s.component_counters = component_counters(component)
        self.component = component
        self.announced = announced
        s.gso_limit = MAX_GSO_BYTES
        s.batch = BATCH
        s.receive = receiver.receive
        s.receive_icmp = receiver.receive_icmp
        s.context = receiver.context
        s.receiver = <void *>receiver
        self.receiver = receiver
        open_socket(s, receive_buffer_bytes, s.wildcard and not receiver.any_local, receiver.timed)
        poller = poller_of(loop)
        poller.enter(s)
        self._poller = poller
        s.next_on_port = sockets_on_port[s.v6][s.bound.port]
        sockets_on_port[s.v6][s.bound.port] = s

    def __del__(self):
        if self.handle.fd >= 0:
            warnings.warn(f"unclosed UdpSocket {self.local_address}", ResourceWarning, source=self)
            self.close()

    def __dealloc__(self):
        free(self.handle)

    @property
    def local_address(self):
        return endpoint_to_python(&self.handle.bound)

    @property
    def announced(self):
        return endpoint_to_python(&self.handle.announced)[0] if is_specified(&self.handle.announced) else None

    @announced.setter
    def announced(self, address):
        cdef endpoint_t endpoint
        memset(&endpoint, 0, sizeof(endpoint))
        if address:
            endpoint_from_python((address, 0), &endpoint)
            if is_v6(&endpoint) != self.handle.v6:
                raise ValueError(f"{address} is of the other address family")
        self.handle.announced = endpoint

    def fileno(self):
        return self.handle.fd

    def counters(self):
        return counters_to_python(self.handle.counters)

    def send(self, bytes data not None, remote, local=None):
        self.send_batch([data], remote, local)

    def send_batch(self, list datagrams not None, remote, local=None):
        cdef endpoint_t to, source
        cdef bytes data
        cdef int length
        endpoint_from_python(remote, &to)
        if local is not None:
            endpoint_from_python(local, &source)
        for data in datagrams:
            length = min(len(data), UDP_MAX_PAYLOAD + 1)
            if length <= UDP_MAX_PAYLOAD:
                memcpy(udp_reserve(length), <const char *>data, length)
            udp_commit(self.handle, &to, &source if local is not None else NULL, length)
        if not draining:                # else all that is sent meanwhile leaves together at its end
            udp_flush()

    def close(self):
        cdef int fd = self.handle.fd
        if fd < 0:
            return
        unlink_socket(self.handle)
        close_fd(fd)                    # which takes it out of the epoll instance, too
        (<Poller>self._poller).leave()


cdef void unlink_socket(socket_t *s) noexcept:
    """Takes a socket that closes out of every table and queue; what waited is dropped."""
    udp_flush()
    cdef socket_t **link = &sockets_on_port[s.v6][s.bound.port]
    while link[0] != s:
        link = &link[0].next_on_port
    link[0] = s.next_on_port
    forget_in_memory(s)
    while s.waiting.head != NULL:
        drop_oldest(s, DROPPED_CLOSED)
    s.fd = -1


cdef object open_socket(socket_t *s, int receive_buffer_bytes, bint tell_local, bint timed):
    """Opens and binds, non-blocking, with the options of this module. OSError when it cannot be bound.

    A datagram too large for the path has to be fragmented rather than lost, since few clients would act on the error:
    IPv4 goes without DF and believes no (forged) ICMP (OMIT); for IPv6 only the sender can fragment, so it listens
    (DONT).
    """
    cdef sockaddr_in6 name
    cdef socklen_t size = fill_name(s, &s.bound, &name)
    s.fd = open_fd(AF_INET6 if s.v6 else AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if s.fd < 0:
        raise OSError(errno, os.strerror(errno))
    if s.v6:
        set_option(s.fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
        set_option(s.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT)
        if tell_local:
            set_option(s.fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        set_option(s.fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
        if tell_local:
            set_option(s.fd, IPPROTO_IP, IP_PKTINFO, 1)
    if s.receive_icmp != NULL:
        set_option(s.fd, IPPROTO_IPV6 if s.v6 else IPPROTO_IP, IPV6_RECVERR if s.v6 else IP_RECVERR, 1)
    set_option(s.fd, SOL_SOCKET, SO_RXQ_OVFL, 1)
    s.timed = timed and set_option(s.fd, SOL_SOCKET, SO_TIMESTAMPNS, 1)
    set_buffer(s.fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_buffer_bytes)
    set_buffer(s.fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES)
    set_option(s.fd, SOL_UDP, UDP_GRO, 1)       # a kernel before 5.0 has none: every datagram comes alone
    if bind_fd(s.fd, <sockaddr *>&name, size) < 0:
        refuse_opening(s)
    if not s.bound.port:
        getsockname(s.fd, <sockaddr *>&name, &size)
        s.bound.port = ntohs(name.sin6_port)    # where an IPv4 name has it, too


cdef object refuse_opening(socket_t *s):
    """Raises the OSError of the system call that has just failed; the socket is closed."""
    error = errno
    close_fd(s.fd)
    s.fd = -1
    raise OSError(error, os.strerror(error))


cdef void set_buffer(int fd, int forced, int asked, int size) noexcept:
    """Beyond the system's limit where that is permitted (CAP_NET_ADMIN), else up to it."""
    if not set_option(fd, SOL_SOCKET, forced, size):
        set_option(fd, SOL_SOCKET, asked, size)


cdef Poller _poller = None


cdef class Poller:
    """The epoll instance in which all sockets of one loop wait; it ends with the last of them."""

    cdef int fd
    cdef int sockets
    cdef object loop

    def __cinit__(self, loop):
        self.loop = loop
        self.fd = epoll_create1(EPOLL_CLOEXEC)
        if self.fd < 0:
            raise OSError(errno, os.strerror(errno))
        loop.add_reader(self.fd, self._drain)

    cdef object enter(self, socket_t *s):
        cdef epoll_event event
        event.events = EPOLLIN
        event.data.ptr = s
        s.poller = self.fd
        if epoll_ctl(self.fd, EPOLL_CTL_ADD, s.fd, &event) < 0:
            refuse_opening(s)
        self.sockets += 1

    cdef object leave(self):
        self.sockets -= 1
        if self.sockets == 0:
            if not self.loop.is_closed():
                self.loop.remove_reader(self.fd)
            close_fd(self.fd)
            self.fd = -1

    def _drain(self):
        """Looks again at once while there was something: cheaper than a turn of the loop, which is not kept long."""
        global draining
        cdef bint came = True
        cdef int _turn
        cdef uint64_t until_us = monotonic_us() + MAX_DRAIN_US
        for _turn in range(MAX_DRAINS):
            draining = True
            with nogil:
                came = serve_ready(self.fd, until_us)
            if not came:
                draining = False
                return
            settle()
            if monotonic_us() > until_us:
                return


cdef Poller poller_of(loop):
    """The newest socket's loop is the loop of the module; what was scheduled on a former one is void."""
    global _loop, _poller, settle_scheduled
    if loop is not _loop:
        _loop = loop
        settle_scheduled = False
    if _poller is None or _poller.fd < 0 or _poller.loop is not loop:
        _poller = Poller(loop)
    return _poller


cdef uint64_t *component_counters(str component) except NULL:
    cdef uint64_t *counters
    if component not in _components:
        counters = <uint64_t *>calloc(COUNTERS, sizeof(uint64_t))
        if counters == NULL:
            raise MemoryError
        _components[component] = <size_t>counters
    return <uint64_t *><size_t>_components[component]


cdef dict counters_to_python(const uint64_t *counters):
    return {name: counters[i] for i, name in enumerate(COUNTER_NAMES)}


def totals():
    return {name: counters_to_python(component_counters(name)) for name in _components}


def set_own_addresses(addresses):
    global own_count, _own_addresses
    cdef endpoint_t endpoints[MAX_OWN_ADDRESSES]
    cdef int number = 0
    texts = set()
    for address in addresses:
        if number == MAX_OWN_ADDRESSES:
            raise ValueError(f"more than {MAX_OWN_ADDRESSES} addresses")
        endpoint_from_python((address, 0), &endpoints[number])
        texts.add(endpoint_to_python(&endpoints[number])[0])
        number += 1
    memcpy(own_endpoints, endpoints, number * sizeof(endpoint_t))
    own_count = number
    _own_addresses = frozenset(texts)


def own_addresses():
    return _own_addresses


def set_gso(allowed):
    global gso_allowed
    gso_allowed = allowed


def set_uring(allowed):
    global ring_usable
    ring_usable = allowed and uring_open()
    return bool(ring_usable)


cdef void prepare_headers() noexcept:
    """Points the batch headers at their buffers, once."""
    cdef uint8_t *buffers = <uint8_t *>malloc(BATCH * (RECEIVE_BYTES + UDP_TAILROOM))
    cdef int i
    for i in range(BATCH):
        in_vectors[i].iov_base = buffers + i * (RECEIVE_BYTES + UDP_TAILROOM)
        in_vectors[i].iov_len = RECEIVE_BYTES
        in_headers[i].msg_hdr.msg_iov = &in_vectors[i]
        in_headers[i].msg_hdr.msg_iovlen = 1
        in_headers[i].msg_hdr.msg_name = &in_names[i]
        in_headers[i].msg_hdr.msg_control = in_controls[i]
        reset_header(i)
        out_headers[i].msg_hdr.msg_iov = &out_vectors[i]
        out_headers[i].msg_hdr.msg_iovlen = 1
        out_headers[i].msg_hdr.msg_name = &out_names[i]


Address = tuple[str, int]
Datagram = tuple[int, bytes, Address, Address, float]

assert len(COUNTER_NAMES) == COUNTERS
prepare_headers()
