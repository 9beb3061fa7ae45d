from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.dtls_peers import Wire, openssl_peer, pem_pair, state, stray_record
from wire.dtls import Drop, DtlsConnection, DtlsContext, DtlsError
from wire.dtls_listener import DtlsListener, hello_random

ADDRESS = ("192.0.2.1", 5000)


def listener() -> DtlsListener:
    return DtlsListener(DtlsContext(pem_pair(), cookie_secret=b"s" * 32))


def plain_client() -> DtlsConnection:
    return DtlsContext(pem_pair()).client()


def hello_with_cookie(server: DtlsListener, client: DtlsConnection, now: float = 0.0) -> bytes:
    client.start(now)
    (hello,) = client.datagrams_to_send()
    assert server.receive_datagram(hello, ADDRESS, now) is None
    ((request, address),) = server.datagrams_to_send()
    assert address == ADDRESS
    assert len(request) < len(hello)
    client.receive_datagram(request, now)
    (again,) = client.datagrams_to_send()
    return again


def test_a_hello_gets_a_cookie_and_the_cookie_a_connection() -> None:
    server, client = listener(), plain_client()
    connection = server.receive_datagram(hello_with_cookie(server, client), ADDRESS, 0.0)
    assert connection is not None
    wire = Wire(client, connection, now=0.0)
    wire.connect()
    assert state(client) == connection.state == "connected"
    client.send(b"allocate")
    wire.pump()
    wire.run(lambda: False, limit_s=0.1)
    assert connection.application_data() == [b"allocate"]
    with pytest.raises(DtlsError):
        connection.srtp_keys()


@pytest.mark.parametrize("remote", [("192.0.2.1", 5001), ("192.0.2.2", 5000)])
def test_a_cookie_is_good_for_its_address_only(remote: tuple[str, int]) -> None:
    server = listener()
    assert server.receive_datagram(hello_with_cookie(server, plain_client()), remote, 0.0) is None
    assert len(server.datagrams_to_send()) == 1


@pytest.mark.parametrize(("later", "good"), [(299.0, True), (300.0, True), (599.0, True), (600.0, False)])
def test_a_cookie_grows_old(later: float, good: bool) -> None:
    server = listener()
    connection = server.receive_datagram(hello_with_cookie(server, plain_client()), ADDRESS, later)
    assert (connection is not None) is good


def test_many_clients_use_one_listener() -> None:
    server = listener()
    for _ in range(5):
        client = plain_client()
        connection = server.receive_datagram(hello_with_cookie(server, client), ADDRESS, 0.0)
        assert connection is not None
        Wire(client, connection, now=0.0).connect()
        assert state(client) == "connected"


def test_the_random_of_a_hello_is_that_of_the_whole_handshake() -> None:
    client, other = plain_client(), plain_client()
    client.start(0.0)
    (hello,) = client.datagrams_to_send()
    random = hello_random(hello)
    assert random is not None
    assert len(random) == 32
    server = listener()
    server.receive_datagram(hello, ADDRESS, 0.0)
    client.receive_datagram(server.datagrams_to_send()[0][0], 0.0)
    (again,) = client.datagrams_to_send()
    assert hello_random(again) == random
    other.start(0.0)
    assert hello_random(other.datagrams_to_send()[0]) != random
    fragment_offset = 13 + 6
    later_fragment = hello[: fragment_offset + 2] + b"\1" + hello[fragment_offset + 3 :]
    for data in (later_fragment, stray_record(1), b"", hello[:20]):
        assert hello_random(data) is None


@pytest.mark.parametrize("data", [b"", b"\x16", stray_record(1), b"\x17\xfe\xfd" + bytes(8) + b"\0\x10" + bytes(16)])
def test_only_hellos_reach_the_listener(data: bytes) -> None:
    server = listener()
    assert server.receive_datagram(data, ADDRESS, 0.0) is None
    assert server.datagrams_to_send() == []
    assert server.dropped[Drop.NOT_A_HELLO] == 1


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_hello_never_raises_and_never_answers_more_than_it_got(body: bytes) -> None:
    server = LISTENER
    data = b"\x16\xfe\xfd" + bytes(8) + (len(body) + 1).to_bytes(2, "big") + b"\1" + body
    assert server.receive_datagram(data, ADDRESS, 0.0) is None
    assert sum(len(each) for each, _ in server.datagrams_to_send()) <= max(len(data), 70)
    client = plain_client()
    assert server.receive_datagram(hello_with_cookie(server, client), ADDRESS, 0.0) is not None


LISTENER = listener()


async def test_openssl_s_client_passes_the_cookie_exchange() -> None:
    loop = asyncio.get_running_loop()
    server = listener()
    connection: DtlsConnection | None = None
    async with openssl_peer() as (endpoint, transport):
        heard: list[bytes] = []
        while not heard:
            data, address = await endpoint.receive()
            if connection is None:
                connection = server.receive_datagram(data, address, loop.time())
            else:
                connection.receive_datagram(data, loop.time())
                heard += connection.application_data()
            for datagram, remote in server.datagrams_to_send():
                transport.sendto(datagram, remote)
            for datagram in connection.datagrams_to_send() if connection else ():
                transport.sendto(datagram, address)
        assert heard == [b"hello\n"]
        assert connection is not None
        connection.close()
        for datagram in connection.datagrams_to_send():
            transport.sendto(datagram, address)
