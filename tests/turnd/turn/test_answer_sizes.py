"""How much longer an answer is than its request, to sources that have proved nothing: what a reflector could gain."""

from __future__ import annotations

import pytest

from tests.turnd.turn.core import LOCAL, UDP, Client, House, error_code
from turnd.turn.allocation import Flow
from wire import stun
from wire.stun import Attribute, Method

METHODS = (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)
ADDRESSES = {4: "203.0.113.9", 6: "2001:db8::9"}


@pytest.fixture
def asker(house: House) -> Client:
    return Client(house)


def answer_bytes(client: Client, request: bytes, family: int = 4) -> int:
    answer = client.house.server.receive(request, Flow("udp", (ADDRESSES[family], 5000), LOCAL), client.now)
    assert answer is not None
    return len(answer)


@pytest.mark.parametrize(
    ("family", "fingerprint", "asked", "answered"),
    [
        (4, False, 20, 32),  # 1.6 times
        (4, True, 28, 40),
        (6, False, 20, 44),  # 2.2 times: the header and an IPv6 address; a shorter answer there is not
        (6, True, 28, 52),
    ],
)
def test_a_binding_answer_is_its_header_and_the_address(
    asker: Client, family: int, fingerprint: bool, asked: int, answered: int
) -> None:
    request = stun.encode(Method.BINDING, 0, bytes(12), fingerprint=fingerprint)
    assert len(request) == asked
    assert answer_bytes(asker, request, family) == answered


@pytest.mark.parametrize("number", range(1, 65))
def test_a_binding_error_is_less_than_1_6_times_its_request(asker: Client, number: int) -> None:
    request = stun.encode(Method.BINDING, 0, bytes(12), [(0x7000 + each, b"") for each in range(number)])
    assert answer_bytes(asker, request) < 1.6 * len(request)


def test_a_longer_binding_request_gets_no_longer_answer(asker: Client) -> None:
    for size in (1, 100, 1000):
        request = stun.encode(Method.BINDING, 0, bytes(12), [(Attribute.SOFTWARE, bytes(size))])
        assert answer_bytes(asker, request) == 32


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", [4, 6])
def test_a_challenge_is_76_bytes_whatever_asked_for_it(asker: Client, method: Method, family: int) -> None:
    """Header, ERROR-CODE without a phrase, REALM of five letters, NONCE of 24, PASSWORD-ALGORITHMS of one."""
    for attributes in ([], [UDP], [UDP, (Attribute.SOFTWARE, bytes(500))], [(0x7777, bytes(9))]):
        assert answer_bytes(asker, stun.encode(method, 0, bytes(12), attributes), family) == 20 + 8 + 12 + 28 + 8


def test_a_stale_nonce_is_as_long_as_a_challenge(asker: Client) -> None:
    asker.signed(Method.ALLOCATE)
    asker.now += 601
    request = asker.signed(Method.ALLOCATE, [UDP])
    answer = asker.receive(request)
    assert error_code(answer) == 438
    assert answer is not None
    assert len(answer.data) == 76 < len(request)


def test_a_forged_proof_is_answered_with_less_than_it_was(asker: Client) -> None:
    asker.username = "somebody"
    request = asker.signed(Method.ALLOCATE, [UDP])
    answer = asker.receive(request)
    assert error_code(answer) == 401
    assert answer is not None
    assert len(answer.data) < len(request)


def test_indications_and_answers_of_others_get_nothing(asker: Client) -> None:
    for method in (*METHODS, Method.BINDING, Method.SEND, Method.DATA):
        for message_class in (1, 2, 3):
            assert asker.receive(stun.encode(method, message_class, bytes(12), [UDP])) is None
