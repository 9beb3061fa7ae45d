"""UDP batches through the kernel, GSO, and refused sends, on real sockets on loopback."""

import asyncio
import random
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from tests.wire.udp_sockets import ADDRESS, SO_NO_CHECK, Inbox, Open, dropped, own_option
from wire.udp import UdpSocket, set_gso


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_round_trip_on_both_loops(run: Callable[..., None]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        inbox = Inbox()
        first = UdpSocket(loop, (ADDRESS, 0), inbox.receiver, component="test")
        second = UdpSocket(loop, (ADDRESS, 0), inbox.receiver, component="test")
        first.send(b"ping", second.local_address)
        assert await inbox.get(1) == [b"ping"]
        assert [each[:4] for each in inbox.datagrams] == [(0, b"ping", first.local_address, second.local_address)]
        first.close()
        second.close()

    run(main())


async def test_order_is_kept_over_many_batches(open_udp: Open) -> None:
    sender, _ = open_udp()
    udp, inbox = open_udp()
    sent = [b"%d" % index for index in range(900)]
    for data in sent:
        sender.send(data, udp.local_address)
    assert await inbox.get(len(sent)) == sent
    assert udp.counters()["datagrams_in"] == sender.counters()["datagrams_out"] == 900
    assert udp.counters()["bytes_in"] == sender.counters()["bytes_out"] == sum(map(len, sent))


@pytest.mark.parametrize("length", [0, 1, 1200, 1473, 9000, 65507])
async def test_lengths_arrive_whole(open_udp: Open, length: int) -> None:
    sender, _ = open_udp()
    udp, inbox = open_udp()
    data = random.Random(length).randbytes(length)
    sender.send(data, udp.local_address)
    assert await inbox.get(1) == [data]


async def test_too_long_is_counted(open_udp: Open) -> None:
    sender, _ = open_udp()
    udp, inbox = open_udp()
    sender.send(bytes(65508), udp.local_address)
    sender.send(bytes(200_000), udp.local_address)
    sender.send(b"next", udp.local_address)
    assert await inbox.get(1) == [b"next"]
    assert dropped(sender) == {"dropped_oversize": 2}


async def test_gro_run_is_split(open_udp: Open, plain: socket.socket) -> None:
    udp, inbox = open_udp()
    payload = random.Random(1).randbytes(10 * 1000 + 7)
    plain.setsockopt(socket.SOL_UDP, 103, 1000)
    plain.sendto(payload, udp.local_address)
    assert await inbox.get(11) == [payload[start : start + 1000] for start in range(0, len(payload), 1000)]
    assert udp.counters()["gro_receives"] == 1
    assert udp.counters()["datagrams_in"] == 11


async def test_run_of_more_datagrams_than_a_packet_array_holds(open_udp: Open, plain: socket.socket) -> None:
    udp, inbox = open_udp()
    payloads = [random.Random(index).randbytes(64 * 10) for index in range(12)]
    plain.setsockopt(socket.SOL_UDP, 103, 10)
    for payload in payloads:
        plain.sendto(payload, udp.local_address)
    whole = b"".join(payloads)
    assert await inbox.get(768) == [whole[start : start + 10] for start in range(0, len(whole), 10)]


async def test_ipv6(open_udp: Open) -> None:
    sender, _ = open_udp("::1")
    udp, inbox = open_udp("::")
    sender.send(b"six", ("::1", udp.local_address[1]))
    await inbox.get(1)
    assert inbox.datagrams[0][:4] == (0, b"six", ("::1", sender.local_address[1]), ("::1", udp.local_address[1]))


async def test_families_share_a_port(open_udp: Open) -> None:
    udp, _ = open_udp("0.0.0.0")
    six, _ = open_udp("::", udp.local_address[1])
    assert six.local_address == ("::", udp.local_address[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.1.2.3"])
async def test_wildcard_tells_the_address_it_was_sent_to(open_udp: Open, plain: socket.socket, host: str) -> None:
    udp, inbox = open_udp("0.0.0.0")
    plain.sendto(b"x", (host, udp.local_address[1]))
    await inbox.get(1)
    assert inbox.datagrams[0][3] == (host, udp.local_address[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.1.2.3"])
async def test_wildcard_sends_from_the_local_address_given(open_udp: Open, plain: socket.socket, host: str) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send(b"x", plain.getsockname(), (host, 0))
    assert plain.recvfrom(10) == (b"x", (host, udp.local_address[1]))


async def test_ipv6_wildcard_sends_from_the_local_address_given(open_udp: Open) -> None:
    udp, _ = open_udp("::")
    other, inbox = open_udp("::1")
    udp.send(b"x", other.local_address, ("::1", 0))
    await inbox.get(1)
    assert inbox.datagrams[0][2] == ("::1", udp.local_address[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_datagram_tells_when_it_arrived_however_long_it_lay_unread(open_udp: Open, host: str) -> None:
    udp, inbox = open_udp(host)
    before = asyncio.get_running_loop().time()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for number in range(3):
            peer.sendto(bytes([number]), udp.local_address)
            time.sleep(0.05)  # noqa: ASYNC251 - the loop is busy
    await inbox.get(3)
    first, *later = [each[4] - before for each in inbox.datagrams]
    assert 0 <= first < 0.04
    assert [each - first for each in later] == pytest.approx([0.05, 0.1], abs=0.04)


async def test_receive_overflow_is_counted(open_udp: Open, plain: socket.socket) -> None:
    udp, inbox = open_udp(receive_buffer_bytes=4096)
    for _ in range(200):
        plain.sendto(bytes(500), udp.local_address)
    await inbox.get(1)
    plain.sendto(b"tells the overflow", udp.local_address)
    while b"tells the overflow" not in await inbox.get(len(inbox.datagrams) + 1):
        pass
    counters = udp.counters()
    assert counters["overflow"] > 0
    assert counters["overflow"] + counters["datagrams_in"] == 201


# ---- GSO ------------------------------------------------------------------------------------------------------------


RUNS = [
    [1200] * 8,
    [1200] * 8 + [7],
    [1200] * 3 + [7] * 3 + [1200] * 2,
    [7, 1200, 1200, 7],
    [1200, 0, 1200, 0, 0],
    [100] * 130,
    [1400] * 100,
    [30_000] * 5,
    [500, 400, 500, 400],
    [65507, 65507],
]


@pytest.mark.parametrize("gso", [True, False])
@pytest.mark.parametrize("sizes", RUNS, ids=range(len(RUNS)))
async def test_runs_arrive_as_they_were_sent(open_udp: Open, sizes: list[int], gso: bool) -> None:
    set_gso(gso)
    sender, _ = open_udp()
    udp, inbox = open_udp()
    sent = [random.Random(index).randbytes(size) for index, size in enumerate(sizes)]
    sender.send_batch(sent, udp.local_address)
    assert await inbox.get(len(sent)) == sent
    assert sender.counters()["datagrams_out"] == len(sent)
    assert bool(udp.counters()["gro_receives"]) == bool(sender.counters()["gso_sends"])
    assert gso or sender.counters()["gso_sends"] == 0


async def test_equal_datagrams_leave_as_one_send(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp()
    udp.send_batch([bytes(1000)] * 64 + [bytes(999)], plain.getsockname())
    udp.send_batch([bytes(1000)] * 5 + [bytes(999)], plain.getsockname())
    assert udp.counters()["gso_sends"] == 2
    assert udp.counters()["datagrams_out"] == 71
    assert [len(plain.recv(2000)) for _ in range(71)] == [1000] * 64 + [999] + [1000] * 5 + [999]


async def test_refused_gso_is_sent_one_by_one(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp()
    own_option(udp, socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sent = [random.Random(index).randbytes(1000) for index in range(10)] + [b"last"]
    for _ in range(2):
        udp.send_batch(sent, plain.getsockname())
        assert [plain.recv(2000) for _ in sent] == sent
    assert udp.counters()["gso_sends"] == 0
    assert udp.counters()["datagrams_out"] == 22
    assert dropped(udp) == {}


async def test_gso_run_keeps_its_local_address(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send_batch([b"one", b"two"], plain.getsockname(), ("127.0.0.2", 0))
    assert [plain.recvfrom(9) for _ in range(2)] == [
        (data, ("127.0.0.2", udp.local_address[1])) for data in (b"one", b"two")
    ]
    assert udp.counters()["gso_sends"] == 1


async def test_refusal_does_not_stop_the_batch(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send_batch([b"a", b"b", b"c" * 65508, b"d"], plain.getsockname())
    assert [plain.recv(9) for _ in range(3)] == [b"a", b"b", b"d"]
    udp.send_batch([b"one", b"three", b"2"], ("127.255.255.255", 9))
    assert dropped(udp) == {"dropped_oversize": 1, "dropped_forbidden": 3}


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "local", "reason"),
    [
        ((ADDRESS, 0), None, "dropped_address"),
        (("::1", 9), None, "dropped_address"),
        ((ADDRESS, 9), ("::1", 0), "dropped_address"),
        ((ADDRESS, 9), ("203.0.113.9", 0), "dropped_unreachable"),
        (("127.255.255.255", 9), None, "dropped_forbidden"),
    ],
)
async def test_refused_send_is_counted_by_reason(
    open_udp: Open, remote: tuple[str, int], local: tuple[str, int] | None, reason: str
) -> None:
    udp, _ = open_udp("0.0.0.0")
    udp.send(b"x", remote, local)
    assert dropped(udp) == {reason: 1}
    assert udp.counters()["datagrams_out"] == 0


async def test_unreachable_port_is_no_error(open_udp: Open, plain: socket.socket) -> None:
    udp, _ = open_udp()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind((ADDRESS, 0))
        nobody = gone.getsockname()
    for _ in range(3):
        udp.send(b"x", nobody)
    udp.send(b"y", plain.getsockname())
    assert plain.recv(10) == b"y"
    assert udp.counters()["datagrams_out"] == 4


@pytest.mark.parametrize("address", [("example.org", 1), ("", 1), (ADDRESS, 65536), (ADDRESS, -1), ("fe80::1%lo", 1)])
async def test_bad_address_is_the_callers_error(open_udp: Open, address: tuple[str, int]) -> None:
    udp, _ = open_udp()
    with pytest.raises(ValueError, match="not a"):
        udp.send(b"x", address)
    with pytest.raises(ValueError, match="not a"):
        open_udp(*address)


async def test_port_in_use_raises(open_udp: Open) -> None:
    udp, _ = open_udp()
    with pytest.raises(OSError, match="in use"):
        open_udp(*udp.local_address)
