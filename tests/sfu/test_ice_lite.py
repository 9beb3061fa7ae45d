import aioice.stun
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu import ice_lite
from sfu.ice_lite import Credentials, IceLite, IceState, Outcome, local_ufrag
from wire import stun
from wire.stun import Attribute, MessageClass, Method

LOCAL = ("192.0.2.1", 40000)
PEER = ("198.51.100.7", 5000)
OTHER = ("198.51.100.8", 6000)
CREDENTIALS = Credentials("abcd", "p" * 22)
RENEWED = Credentials("efgh", "q" * 22)


def agent(now: float = 0.0) -> IceLite:
    return IceLite(CREDENTIALS, now)


def check(
    credentials: Credentials = CREDENTIALS,
    *extra: tuple[int, bytes],
    nominate: bool = False,
    username: bytes | None = None,
    password: str | None = None,
) -> stun.Message:
    attributes = [(int(Attribute.USERNAME), username or f"{credentials.ufrag}:remote".encode()), *extra]
    if nominate:
        attributes.append((int(Attribute.USE_CANDIDATE), b""))
    key = (credentials.password if password is None else password).encode()
    data = stun.encode(Method.BINDING, MessageClass.REQUEST, b"t" * 12, attributes, key=key, fingerprint=True)
    return stun.parse(data)


def error_code(response: bytes | None) -> int:
    assert response is not None
    value = stun.parse(response).get(Attribute.ERROR_CODE)
    assert value is not None
    return stun.decode_error(value)[0]


def test_a_check_without_priority_or_role_is_answered_with_the_mapped_address() -> None:
    result = agent().receive(check(), PEER, LOCAL, 1.0)
    assert result.outcome is Outcome.OK
    assert result.response is not None
    answer = stun.parse(result.response)
    assert answer.message_class == MessageClass.SUCCESS
    assert stun.verify_integrity(answer, CREDENTIALS.password.encode())
    assert stun.verify_fingerprint(answer)
    value = answer.get(Attribute.XOR_MAPPED_ADDRESS)
    assert value is not None
    assert stun.decode_xor_address(value, b"t" * 12) == PEER


def test_a_check_made_by_aioice_is_answered_so_that_aioice_accepts_it() -> None:
    request = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
    request.attributes["USERNAME"] = "abcd:remote"
    request.attributes["PRIORITY"] = 1
    request.attributes["ICE-CONTROLLING"] = 7
    request.attributes["USE-CANDIDATE"] = None
    request.add_message_integrity(CREDENTIALS.password.encode())
    result = agent().receive(stun.parse(bytes(request)), PEER, LOCAL, 1.0)
    assert result.response is not None
    assert result.selected
    response = aioice.stun.parse_message(result.response)
    assert response.check_message_integrity(CREDENTIALS.password.encode())
    assert response.attributes["XOR-MAPPED-ADDRESS"] == PEER


def test_the_first_pair_is_used_until_another_is_nominated() -> None:
    ice = agent()
    first = ice.receive(check(), PEER, LOCAL, 1.0)
    assert (first.selected, ice.nominated) == (True, False)
    second = ice.receive(check(), OTHER, LOCAL, 1.1)
    assert (second.selected, ice.pair) == (False, (PEER, LOCAL))
    third = ice.receive(check(nominate=True), OTHER, LOCAL, 1.2)
    assert (third.selected, ice.pair) == (True, (OTHER, LOCAL))
    assert ice.nominated
    again = ice.receive(check(nominate=True), OTHER, LOCAL, 1.3)
    assert not again.selected


def test_a_check_with_a_wrong_password_gets_401_and_changes_nothing() -> None:
    ice = agent()
    result = ice.receive(check(password="x" * 22), PEER, LOCAL, 1.0)
    assert result.outcome is Outcome.UNAUTHENTICATED
    assert error_code(result.response) == 401
    assert ice.pair is None
    assert ice.state is IceState.NEW


def test_a_check_without_integrity_gets_400() -> None:
    data = stun.encode(Method.BINDING, MessageClass.REQUEST, b"t" * 12, [(int(Attribute.USERNAME), b"abcd:x")])
    result = agent().receive(stun.parse(data), PEER, LOCAL, 1.0)
    assert error_code(result.response) == 400


def test_a_wrong_fingerprint_is_dropped() -> None:
    data = bytearray(check().data)
    data[-1] ^= 1
    assert agent().receive(stun.parse(bytes(data)), PEER, LOCAL, 1.0).response is None


def test_a_controlled_peer_gets_487() -> None:
    ice = agent()
    result = ice.receive(check(CREDENTIALS, (int(Attribute.ICE_CONTROLLED), bytes(8))), PEER, LOCAL, 1.0)
    assert result.outcome is Outcome.ROLE_CONFLICT
    assert error_code(result.response) == 487
    assert result.response is not None
    assert stun.verify_integrity(stun.parse(result.response), CREDENTIALS.password.encode())
    assert ice.pair is None


def test_an_unknown_required_attribute_gets_420() -> None:
    result = agent().receive(check(CREDENTIALS, (0x7777, b"")), PEER, LOCAL, 1.0)
    assert error_code(result.response) == 420


@pytest.mark.parametrize("kind", [MessageClass.INDICATION, MessageClass.SUCCESS, MessageClass.ERROR])
def test_other_messages_are_not_answered(kind: MessageClass) -> None:
    data = stun.encode(Method.BINDING, kind, b"t" * 12, [(int(Attribute.USERNAME), b"abcd:x")])
    result = agent().receive(stun.parse(data), PEER, LOCAL, 1.0)
    assert result.outcome is Outcome.NOT_A_CHECK
    assert result.response is None


def test_username_routing_takes_our_half() -> None:
    assert local_ufrag(check()) == "abcd"
    assert local_ufrag(check(username=b"nocolon")) is None
    assert local_ufrag(check(username=b"a" * 513 + b":")) is None


def test_consent_ends_after_silence_and_not_before() -> None:
    ice = agent()
    ice.receive(check(nominate=True), PEER, LOCAL, 10.0)
    ice.handle_timer(10.0 + ice_lite.CONSENT_SECONDS - 0.1)
    assert ice.state is IceState.CONNECTED
    ice.handle_timer(10.0 + ice_lite.CONSENT_SECONDS)
    assert ice.state is IceState.FAILED
    assert ice.next_timer() == float("inf")


def test_a_peer_that_never_comes_fails() -> None:
    ice = agent(5.0)
    assert ice.next_timer() == 5.0 + ice_lite.CONNECT_SECONDS
    ice.handle_timer(ice.next_timer())
    assert ice.state is IceState.FAILED


def test_a_check_after_failure_brings_the_connection_back() -> None:
    ice = agent()
    ice.handle_timer(ice_lite.CONNECT_SECONDS)
    ice.receive(check(), PEER, LOCAL, 100.0)
    assert ice.state is IceState.CONNECTED


def test_after_a_restart_the_old_pair_flows_until_the_new_one_is_nominated() -> None:
    ice = agent()
    ice.receive(check(nominate=True), PEER, LOCAL, 1.0)
    ice.restart(RENEWED, 2.0)
    assert set(ice.ufrags) == {"abcd", "efgh"}
    assert ice.receive(check(nominate=True), PEER, LOCAL, 3.0).outcome is Outcome.OK
    ice.receive(check(RENEWED), OTHER, LOCAL, 4.0)
    assert ice.pair == (PEER, LOCAL)
    assert ice.receive(check(RENEWED, nominate=True), OTHER, LOCAL, 5.0).selected
    assert ice.pair == (OTHER, LOCAL)
    assert ice.ufrags == ("efgh",)
    assert ice.receive(check(), PEER, LOCAL, 6.0).outcome is Outcome.UNAUTHENTICATED


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_attributes_are_survived(username: bytes, value: bytes) -> None:
    ice = agent()
    message = check(CREDENTIALS, (int(Attribute.PRIORITY), value), username=username or b":")
    ice.receive(message, PEER, LOCAL, 1.0)
    assert ice.receive(check(), PEER, LOCAL, 1.0).outcome is Outcome.OK
