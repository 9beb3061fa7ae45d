"""The long-term mechanism, step by step, as a client meets it."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import pytest

from tests.turnd.turn.core import EPOCH, REALM, UDP, Client, House, error_code
from turnd.turn.authentication import PASSWORD_ALGORITHMS
from turnd.turn.credentials import Credentials, rest_credentials
from turnd.turn.nonce import MAC_BYTES, NONCE_SECONDS
from wire import stun
from wire.stun import Attribute, MessageClass, Method, PasswordAlgorithm


@pytest.fixture
def house() -> House:
    return House()


def proof(client: Client, **change: bytes | None) -> list[tuple[int, bytes]]:
    client.signed(Method.ALLOCATE)
    values = {"USERNAME": client.username.encode(), "REALM": REALM.encode(), "NONCE": client.nonce, **change}
    return [(Attribute[name], value) for name, value in values.items() if value is not None]


def allocate(client: Client, attributes: list[tuple[int, bytes]], key: bytes, *, sha256: bool = False) -> stun.Message:
    data = stun.encode(
        Method.ALLOCATE, MessageClass.REQUEST, client.transaction(), [UDP, *attributes], key=key, sha256=sha256
    )
    answer = client.receive(data)
    assert answer is not None
    return answer


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_challenge_is_short_and_says_only_what_is_needed(house: House, transport: str) -> None:
    answer = Client(house, transport=transport).plain(Method.ALLOCATE, [UDP])
    assert answer is not None
    nonce = answer.get(Attribute.NONCE) or b""
    assert answer.attributes == [
        (Attribute.ERROR_CODE, b"\0\0\4\1"),
        (Attribute.REALM, REALM.encode()),
        (Attribute.NONCE, nonce),
        (Attribute.PASSWORD_ALGORITHMS, PASSWORD_ALGORITHMS),
    ]
    assert stun.nonce_features(nonce) == stun.SecurityFeature.PASSWORD_ALGORITHMS
    assert not answer.has_integrity
    assert len(answer.data) == 76


def test_challenge_keeps_no_state(house: House) -> None:
    for port in range(100):
        Client(house, 1000 + port).plain(Method.ALLOCATE, [UDP])
    assert not house.server.registry.allocations
    assert not house.host.relays


@pytest.mark.parametrize("missing", ["USERNAME", "REALM", "NONCE"])
def test_integrity_without_its_attributes_is_400(house: House, missing: str) -> None:
    client = Client(house)
    assert error_code(allocate(client, proof(client, **{missing: None}), client.key)) == 400


@pytest.mark.parametrize("name", [b"x" * 509, b"\xff"])
def test_a_malformed_user_name_is_400(house: House, name: bytes) -> None:
    client = Client(house)
    assert error_code(allocate(client, proof(client, USERNAME=name), client.key)) == 400


@pytest.mark.parametrize("nonce", [b"", b"nonsense", b"A" * 16, b"\xff" * 16, b"obMatJos2AAAA", b"A" * 700])
def test_a_foreign_nonce_is_438_with_a_new_one(house: House, nonce: bytes) -> None:
    client = Client(house)
    answer = allocate(client, proof(client, NONCE=nonce), client.key)
    assert error_code(answer) == 438
    client.nonce = answer.get(Attribute.NONCE)
    assert error_code(client.allocate()) == 0


def test_an_old_nonce_is_438(house: House) -> None:
    client = Client(house)
    client.allocate()
    client.now += NONCE_SECONDS + 1
    assert error_code(client.refresh()) == 438


@pytest.mark.parametrize("source", [("203.0.113.10", 50000), ("203.0.113.9", 50001)])
def test_a_nonce_of_another_source_is_438(house: House, source: tuple[str, int]) -> None:
    client = Client(house)
    client.signed(Method.ALLOCATE)
    other = Client(house)
    other.flow = other.flow._replace(client=source)
    other.nonce = client.nonce
    assert error_code(other.allocate()) == 438


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        (("nobody", "x"), "unknown_user"),
        (("anna", "wrong"), "wrong_password"),
        ((rest_credentials("new", "bob", 60, EPOCH)[0], "wrong"), "wrong_password"),
        (rest_credentials("other", "bob", 60, EPOCH), "wrong_password"),
        (rest_credentials("new", "bob", -1, EPOCH), "expired"),
    ],
)
def test_wrong_credentials_are_401(house: House, credentials: tuple[str, str], reason: str) -> None:
    assert error_code(Client(house, credentials=credentials).allocate()) == 401
    assert house.server.auth_failures[reason] == 1


@pytest.mark.parametrize("credentials", [("anna", "pass"), rest_credentials("old", "bob", 60, EPOCH)])
def test_static_users_and_every_secret_are_good(house: House, credentials: tuple[str, str]) -> None:
    assert error_code(Client(house, credentials=credentials).allocate()) == 0


def test_a_call_outlives_its_credentials(house: House) -> None:
    client = Client(house, credentials=rest_credentials("new", "bob", 60, EPOCH))
    client.allocate()
    house.epoch += 61
    assert error_code(client.refresh()) == 0
    assert error_code(Client(house, 50001, credentials=(client.username, client.password)).allocate()) == 401


def test_a_withdrawn_secret_ends_calls_at_their_next_refresh(house: House) -> None:
    client = Client(house, credentials=rest_credentials("old", "bob", 60, EPOCH))
    client.allocate()
    house.server.authenticator.credentials = Credentials(REALM, ("new",))
    assert error_code(client.refresh()) == 401


def test_a_wrong_realm_is_401(house: House) -> None:
    client = Client(house)
    key = stun.long_term_key(client.username, "else", client.password)
    assert error_code(allocate(client, proof(client, REALM=b"else"), key)) == 401


ALGORITHM = (Attribute.PASSWORD_ALGORITHM, stun.encode_password_algorithms([(PasswordAlgorithm.SHA256, b"")]))
OFFER = (Attribute.PASSWORD_ALGORITHMS, PASSWORD_ALGORITHMS)


@pytest.mark.parametrize("transport", ["udp", "tls"])
@pytest.mark.parametrize("sha256", [False, True])
def test_a_chosen_password_algorithm_derives_the_key_and_is_answered_with_sha256(
    house: House, transport: str, sha256: bool
) -> None:
    client = Client(house, transport=transport)
    key = stun.long_term_key_sha256(client.username, REALM, client.password)
    answer = allocate(client, [*proof(client), OFFER, ALGORITHM], key, sha256=sha256)
    assert error_code(answer) == 0
    assert (bool(answer.integrity_at), bool(answer.integrity_sha256_at)) == (False, True)
    assert stun.verify_integrity(answer, key)


@pytest.mark.parametrize("sha256", [False, True])
def test_without_a_chosen_password_algorithm_md5_and_sha1_are_meant(house: House, sha256: bool) -> None:
    client = Client(house)
    answer = allocate(client, proof(client), client.key, sha256=sha256)
    assert error_code(answer) == 0
    assert (bool(answer.integrity_at), bool(answer.integrity_sha256_at)) == (True, False)
    assert stun.verify_integrity(answer, client.key)


def test_an_error_behind_the_authentication_carries_the_integrity_too(house: House) -> None:
    client = Client(house)
    key = stun.long_term_key_sha256(client.username, REALM, client.password)
    answer = allocate(client, [*proof(client), OFFER, ALGORITHM, (0x7F00, b"")], key, sha256=True)
    assert error_code(answer) == 420
    assert answer.integrity_sha256_at
    assert stun.verify_integrity(answer, key)
    assert not {Attribute.USERNAME, Attribute.REALM, Attribute.NONCE} & {kind for kind, _ in answer.attributes}


@pytest.mark.parametrize("algorithm", [PasswordAlgorithm.MD5, 9])
@pytest.mark.parametrize("key", [stun.long_term_key, stun.long_term_key_sha256])
def test_what_was_not_offered_cannot_be_chosen(
    house: House, algorithm: int, key: Callable[[str, str, str], bytes]
) -> None:
    client = Client(house)
    chosen = (Attribute.PASSWORD_ALGORITHM, stun.encode_password_algorithms([(algorithm, b"")]))
    attributes = [*proof(client), OFFER, chosen]
    assert error_code(allocate(client, attributes, key(client.username, REALM, client.password))) == 400


@pytest.mark.parametrize(
    "attributes",
    [
        [OFFER],
        [ALGORITHM],
        [OFFER, (Attribute.PASSWORD_ALGORITHM, b"x")],
        [OFFER, (Attribute.PASSWORD_ALGORITHM, PASSWORD_ALGORITHMS * 2)],
        [(Attribute.PASSWORD_ALGORITHMS, stun.encode_password_algorithms([(1, b"")])), ALGORITHM],
        [(Attribute.PASSWORD_ALGORITHMS, stun.encode_password_algorithms([(1, b""), (2, b"")])), ALGORITHM],
    ],
)
def test_an_offer_that_was_changed_on_the_way_is_400(house: House, attributes: list[tuple[int, bytes]]) -> None:
    client = Client(house)
    answer = allocate(client, proof(client) + attributes, client.key)
    assert error_code(answer) == 400
    assert [kind for kind, _ in answer.attributes] == [Attribute.ERROR_CODE]


def test_a_nonce_whose_features_were_taken_off_is_438(house: House) -> None:
    client = Client(house)
    client.signed(Method.ALLOCATE)
    nonce = client.nonce or b""
    assert error_code(allocate(client, proof(client, NONCE=stun.encode_nonce(0, nonce[13:])), client.key)) == 438


@pytest.mark.parametrize("announced", [False, True])
def test_userhash_stands_for_a_static_user_whether_or_not_we_ask_for_it(house: House, announced: bool) -> None:
    house.server.authenticator.announce_userhash = announced
    client = Client(house, credentials=("anna", "pass"))
    attributes = [*proof(client, USERNAME=None), (Attribute.USERHASH, stun.userhash("anna", REALM))]
    features = stun.nonce_features(client.nonce or b"") or 0
    assert bool(features & stun.SecurityFeature.USERNAME_ANONYMITY) is announced
    assert error_code(allocate(client, attributes, client.key)) == 0
    assert client.allocation.username == "anna"


@pytest.mark.parametrize("value", [bytes(32), b"", b"x" * 33])
def test_an_unknown_userhash_is_401(house: House, value: bytes) -> None:
    client = Client(house)
    attributes = [*proof(client, USERNAME=None), (Attribute.USERHASH, value)]
    assert error_code(allocate(client, attributes, client.key)) == 401


def test_a_rest_name_cannot_be_found_by_its_hash(house: House) -> None:
    client = Client(house)
    attributes = [*proof(client, USERNAME=None), (Attribute.USERHASH, stun.userhash(client.username, REALM))]
    assert error_code(allocate(client, attributes, client.key)) == 401


@pytest.mark.parametrize("code", [401, 438])
def test_every_refusal_that_can_be_tried_again_has_realm_nonce_and_algorithms(house: House, code: int) -> None:
    client = Client(house, credentials=("anna", "wrong" if code == 401 else "pass"))
    answer = allocate(client, proof(client, **({} if code == 401 else {"NONCE": b"old"})), client.key)
    assert error_code(answer) == code
    kinds = {Attribute.ERROR_CODE, Attribute.REALM, Attribute.NONCE, Attribute.PASSWORD_ALGORITHMS}
    assert {kind for kind, _ in answer.attributes} == kinds
    assert not answer.has_integrity


@pytest.mark.parametrize("name", ["anna", "nobody"])
@pytest.mark.parametrize("attribute", ["USERNAME", "USERHASH"])
def test_without_a_nonce_of_ours_nobody_learns_who_is_known(house: House, name: str, attribute: str) -> None:
    client = Client(house, credentials=(name, "wrong"))
    value = name.encode() if attribute == "USERNAME" else stun.userhash(name, REALM)
    attributes = [*proof(client, USERNAME=None, NONCE=b"A" * 16), (Attribute[attribute], value)]
    assert error_code(allocate(client, attributes, client.key)) == 438


def test_no_user_has_the_key_of_the_unknown(house: House) -> None:
    client = Client(house, credentials=("nobody", "x"))
    assert error_code(allocate(client, proof(client), bytes(16))) == 401


@pytest.mark.parametrize("name", ["anna", "nobody", "9999999999:rest", "1:expired"])
def test_each_secret_is_compared_in_constant_time_and_as_often_for_users_there_are_not(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The nonce, then the integrity under each key that may be: one for nobody as for a static user."""
    compared: list[int] = []
    compare = hmac.compare_digest

    def counted(a: bytes, b: bytes) -> bool:
        compared.append(len(a))
        return compare(a, b)

    client = Client(House(), credentials=(name, "wrong"))
    data = client.signed(Method.ALLOCATE, [UDP])
    monkeypatch.setattr(hmac, "compare_digest", counted)
    assert error_code(client.receive(data)) == 401
    keys = 2 if ":" in name else 1  # of the two REST secrets
    assert compared == [MAC_BYTES] + [stun.SHA1_BYTES] * keys
