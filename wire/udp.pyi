"""The Python face of the UDP sockets; compiled receivers and packet paths use udp.pxd."""

import asyncio
from collections.abc import Callable, Iterable

Address = tuple[str, int]
Datagram = tuple[int, bytes, Address, Address, float]

COUNTER_NAMES: tuple[str, ...]

class Receiver:
    """Compiled base of what handles a socket's datagrams. It may serve several sockets."""

class CallbackReceiver(Receiver):
    """Hands every datagram to `callback`: for tests and tools.

    In lists of (0, data, source, local address of ours, when the kernel had it by the clock of `loop.time()`).
    """

    def __init__(self, callback: Callable[[list[Datagram]], object]) -> None: ...

class UdpSocket:
    """A UDP socket bound at once to an IPv4 or (only) IPv6 address; OSError when that fails, ValueError for no address.

    It receives until `close`. `component` is the metric label; `receive_buffer_bytes` is asked of the kernel, beyond
    its limit where permitted.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        receiver: Receiver,
        *,
        component: str,
        receive_buffer_bytes: int = 4 << 20,
        announced: str = "",
    ) -> None: ...
    @property
    def local_address(self) -> Address: ...
    @property
    def receiver(self) -> Receiver: ...
    @property
    def component(self) -> str: ...
    @property
    def announced(self) -> str | None:
        """IP address that receivers in memory see as source when `send` gives no `local`; None: as the kernel would."""

    @announced.setter
    def announced(self, address: str | None) -> None: ...
    def fileno(self) -> int:
        """The file descriptor, -1 when closed."""

    def send(self, data: bytes, remote: Address, local: Address | None = None) -> None:
        """Sends one datagram now, or in memory on the loop's next turn. What cannot be sent is counted, not raised."""

    def send_batch(self, datagrams: list[bytes], remote: Address, local: Address | None = None) -> None:
        """`send` of several, in order and in one system call; those of equal length as one GSO run."""

    def close(self) -> None:
        """Stops at once and drops what still waits to be sent. May be called anywhere on the loop, and twice."""

    def counters(self) -> dict[str, int]:
        """All of COUNTER_NAMES. `datagrams_` and `bytes_` are those that went through the kernel."""

def set_own_addresses(addresses: Iterable[str]) -> None:
    """Sets every IP that means this machine, inside and outside the NAT. At most 256; ValueError for what is no IP."""

def own_addresses() -> frozenset[str]: ...
def totals() -> dict[str, dict[str, int]]:
    """`UdpSocket.counters` summed by component, sockets already closed included."""

def set_gso(allowed: bool) -> None:
    """Whether runs of equal datagrams may leave in one GSO send. For the whole process; on at start."""

def set_uring(allowed: bool) -> bool:
    """Whether datagrams of several sockets may leave in one system call; whether they do. For the whole process.

    Off at start: who wants many sockets switches it on. False where the kernel has no io_uring that will do.
    """
