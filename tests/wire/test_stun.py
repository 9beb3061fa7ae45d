from __future__ import annotations

import aioice.stun
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import stun
from wire.stun import Attribute, MessageClass, Method, StunError

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
KATAKANA = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"

# RFC 5769 §2.1 to §2.4, byte for byte (the padding there is not zero).
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
LONG_TERM = bytes.fromhex(
    "000100602112a44278ad3433c6ad72c029da412e"
    "00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
    "0014000b6578616d706c652e6f726700"
    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
)
# RFC 8489 §B.1 as corrected by its erratum (the printed length and integrity belong to no message).
USERHASH_SHA256 = bytes.fromhex(
    "000100902112a44278ad3433c6ad72c029da412e"
    "001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
    "001500296f624d61744a6f7332414141"
    "43662f2f3439396b39353464364f4c33346f4c39465354767936347341000000"
    "0014000b6578616d706c652e6f726700"
    "001d000400020000"
    "001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65"
)


def header(length: int, kind: int = 1) -> bytes:
    return kind.to_bytes(2, "big") + length.to_bytes(2, "big") + b"\x21\x12\xa4\x42" + TRANSACTION


def with_attributes(*attributes: bytes) -> bytes:
    body = b"".join(attributes)
    return header(len(body)) + body


# The vectors.


def test_rfc5769_request_is_read_and_verified() -> None:
    message = stun.parse(REQUEST)
    assert (message.method, message.message_class) == (Method.BINDING, MessageClass.REQUEST)
    assert message.transaction_id == TRANSACTION
    assert message.attributes == [
        (Attribute.SOFTWARE, b"STUN test client"),
        (Attribute.PRIORITY, bytes.fromhex("6e0001ff")),
        (Attribute.ICE_CONTROLLED, bytes.fromhex("932ff9b151263b36")),
        (Attribute.USERNAME, b"evtj:h6vY"),
    ]
    assert message.unknown_required == ()
    assert stun.verify_integrity(message, PASSWORD)
    assert stun.verify_fingerprint(message)
    assert not stun.verify_integrity(message, PASSWORD + b"x")


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (RESPONSE_IPV4, ("192.0.2.1", 32853)),
        (RESPONSE_IPV6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_rfc5769_response_tells_the_mapped_address(data: bytes, address: tuple[str, int]) -> None:
    message = stun.parse(data)
    assert message.message_class is MessageClass.SUCCESS
    value = message.get(Attribute.XOR_MAPPED_ADDRESS)
    assert value is not None
    assert stun.decode_xor_address(value, message.transaction_id) == address
    assert stun.encode_xor_address(address, message.transaction_id) == value
    assert stun.verify_integrity(message, PASSWORD)
    assert stun.verify_fingerprint(message)


def test_rfc5769_long_term_request_is_verified_and_made_again() -> None:
    message = stun.parse(LONG_TERM)
    key = stun.long_term_key(KATAKANA, "example.org", "TheMatrIX")
    assert stun.verify_integrity(message, key)
    assert not message.has_fingerprint
    assert stun.encode(1, 0, message.transaction_id, message.attributes, key=key) == LONG_TERM


def test_rfc8489_userhash_and_sha256_request_is_verified_and_made_again() -> None:
    message = stun.parse(USERHASH_SHA256)
    assert message.get(Attribute.USERHASH) == stun.userhash(KATAKANA, "example.org")
    algorithm = message.get(Attribute.PASSWORD_ALGORITHM)
    assert algorithm is not None
    assert stun.decode_password_algorithm(algorithm) == (stun.PasswordAlgorithm.SHA256, b"")
    key = stun.long_term_key_sha256(KATAKANA, "example.org", "TheMatrIX")
    assert stun.verify_integrity(message, key)
    assert stun.encode(1, 0, message.transaction_id, message.attributes, key=key, sha256=True) == USERHASH_SHA256


# The message frame.


@pytest.mark.parametrize("size", range(20))
def test_less_than_a_header_is_refused(size: int) -> None:
    with pytest.raises(StunError):
        stun.parse(header(0)[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"\x40" + header(0)[1:],
        b"\x80" + header(0)[1:],
        header(0)[:4] + b"\x21\x12\xa4\x43" + TRANSACTION,
        header(4),
        header(0) + b"\0\0\0\0",
        header(2) + b"\0\0",
        header(4) + b"\x80\x22\x00\x01",
        header(8) + b"\x80\x22\x00\x05abcd",
    ],
    ids=["bit 0", "bit 1", "cookie", "too short", "too long", "not a multiple of 4", "value missing", "value cut"],
)
def test_a_broken_frame_is_refused(data: bytes) -> None:
    with pytest.raises(StunError):
        stun.parse(data)


@pytest.mark.parametrize(
    ("method", "message_class", "kind"),
    [
        (Method.BINDING, MessageClass.REQUEST, 0x0001),
        (Method.BINDING, MessageClass.SUCCESS, 0x0101),
        (Method.ALLOCATE, MessageClass.ERROR, 0x0113),
        (Method.SEND, MessageClass.INDICATION, 0x0016),
        (0xFFF, MessageClass.ERROR, 0x3FFF),
    ],
)
def test_method_and_class_share_the_type_field(method: int, message_class: MessageClass, kind: int) -> None:
    data = stun.encode(method, message_class, TRANSACTION)
    assert int.from_bytes(data[:2], "big") == kind
    message = stun.parse(data)
    assert (message.method, message.message_class) == (method, message_class)


def test_repeated_attributes_are_kept_in_order() -> None:
    peers = [stun.encode_xor_address((f"192.0.2.{n}", n), TRANSACTION) for n in range(1, 4)]
    attributes = [(int(Attribute.XOR_PEER_ADDRESS), peer) for peer in peers]
    message = stun.parse(stun.encode(Method.CREATE_PERMISSION, MessageClass.REQUEST, TRANSACTION, attributes))
    assert message.all(Attribute.XOR_PEER_ADDRESS) == peers
    assert message.get(Attribute.XOR_PEER_ADDRESS) == peers[0]
    assert message.get(Attribute.LIFETIME) is None


def test_unknown_required_attributes_are_reported_once_and_optional_ones_are_not() -> None:
    attributes = [(0x7001, b"a"), (0xC057, b"bcde"), (0x7002, b""), (0x7001, b"")]
    message = stun.parse(stun.encode(1, 0, TRANSACTION, attributes))
    assert message.unknown_required == (0x7001, 0x7002)
    assert message.attributes == attributes


def test_the_caller_can_narrow_what_is_known() -> None:
    data = stun.encode(1, 0, TRANSACTION, [(Attribute.CONNECTION_ID, stun.encode_connection_id(1))])
    assert stun.parse(data).unknown_required == ()
    assert stun.parse(data, stun.KNOWN_REQUIRED - {Attribute.CONNECTION_ID}).unknown_required == (0x002A,)


def test_padding_is_ignored_when_read_and_zero_when_made() -> None:
    assert stun.parse(with_attributes(b"\x80\x22\0\x01xABC")).attributes == [(Attribute.SOFTWARE, b"x")]
    assert stun.encode(1, 0, TRANSACTION, [(Attribute.SOFTWARE, b"x")])[20:] == b"\x80\x22\0\x01x\0\0\0"


def test_the_number_of_attributes_is_bounded() -> None:
    attribute = b"\x80\x22\0\0"
    assert len(stun.parse(with_attributes(*[attribute] * stun.MAX_ATTRIBUTES)).attributes) == stun.MAX_ATTRIBUTES
    with pytest.raises(StunError):
        stun.parse(with_attributes(*[attribute] * (stun.MAX_ATTRIBUTES + 1)))


def test_the_number_of_attributes_behind_the_integrity_is_bounded() -> None:
    integrity = b"\0\x08\0\x14" + bytes(20)
    stun.parse(with_attributes(integrity, *[b"\x80\x22\0\0"] * (stun.MAX_ATTRIBUTES - 1)))
    with pytest.raises(StunError):
        stun.parse(with_attributes(integrity, *[b"\x80\x22\0\0"] * stun.MAX_ATTRIBUTES))


@pytest.mark.parametrize(
    ("transaction", "attributes"),
    [(b"short", []), (TRANSACTION, [(1, bytes(65536))]), (TRANSACTION, [(1, bytes(40000))] * 2)],
)
def test_what_cannot_be_a_message_is_not_made(transaction: bytes, attributes: list[tuple[int, bytes]]) -> None:
    with pytest.raises(StunError):
        stun.encode(1, 0, transaction, attributes)


# Integrity and fingerprint.


@pytest.mark.parametrize("sha256", [False, True])
@pytest.mark.parametrize("fingerprint", [False, True])
def test_each_integrity_verifies_only_with_its_key(sha256: bool, fingerprint: bool) -> None:
    attributes = [(int(Attribute.SOFTWARE), b"turnd")]
    data = stun.encode(1, 0, TRANSACTION, attributes, key=b"key", sha256=sha256, fingerprint=fingerprint)
    message = stun.parse(data)
    assert message.attributes == attributes
    assert message.has_integrity
    assert stun.verify_integrity(message, b"key")
    assert not stun.verify_integrity(message, b"kex")
    assert stun.verify_fingerprint(message) is fingerprint


@pytest.mark.parametrize("sha256", [False, True])
def test_a_changed_byte_breaks_integrity_and_fingerprint(sha256: bool) -> None:
    attributes = [(int(Attribute.SOFTWARE), b"turnd...")]
    data = bytearray(stun.encode(1, 0, TRANSACTION, attributes, key=b"key", sha256=sha256, fingerprint=True))
    data[24] ^= 1
    message = stun.parse(bytes(data))
    assert not stun.verify_integrity(message, b"key")
    assert not stun.verify_fingerprint(message)


def test_no_integrity_never_verifies() -> None:
    message = stun.parse(stun.encode(1, 0, TRANSACTION))
    assert not message.has_integrity
    assert not stun.verify_integrity(message, b"")
    assert not stun.verify_fingerprint(message)


def append(data: bytes, attribute: bytes) -> bytes:
    return data[:2] + (len(data) + len(attribute) - 20).to_bytes(2, "big") + data[4:] + attribute


@pytest.mark.parametrize("sha256", [False, True])
def test_attributes_behind_the_integrity_are_not_exposed_and_do_not_break_it(sha256: bool) -> None:
    data = stun.encode(1, 0, TRANSACTION, key=b"key", sha256=sha256)
    for extra in (b"\0\x06\0\x01x\0\0\0", b"\x70\x01\0\0"):
        data = append(data, extra)
    message = stun.parse(stun.append_fingerprint(data))
    assert message.attributes == []
    assert message.unknown_required == ()
    assert stun.verify_integrity(message, b"key")
    assert stun.verify_fingerprint(message)


def test_sha256_behind_sha1_is_the_one_that_decides() -> None:
    both = stun.append_integrity(stun.encode(1, 0, TRANSACTION, key=b"weak"), b"key", sha256=True)
    message = stun.parse(both)
    assert message.integrity_at
    assert message.integrity_sha256_at
    assert stun.verify_integrity(message, b"key")
    assert not stun.verify_integrity(message, b"weak")


def test_sha1_behind_sha256_is_ignored() -> None:
    data = stun.append_integrity(stun.encode(1, 0, TRANSACTION, key=b"key", sha256=True), b"other")
    message = stun.parse(data)
    assert not message.integrity_at
    assert stun.verify_integrity(message, b"key")


@pytest.mark.parametrize("size", [16, 20, 24, 28])
def test_truncated_sha256_counts_only_where_a_usage_allows_it(size: int) -> None:
    data = stun.append_integrity(stun.encode(1, 0, TRANSACTION), b"key", sha256=True, size=size)
    message = stun.parse(data)
    assert not stun.verify_integrity(message, b"key")
    assert stun.verify_integrity(message, b"key", min_sha256_bytes=16)
    assert not stun.verify_integrity(message, b"other", min_sha256_bytes=16)
    assert not stun.verify_integrity(message, b"key", min_sha256_bytes=size + 4)


@pytest.mark.parametrize("size", [0, 4, 12, 15, 17, 30, 33, 36])
def test_sha256_of_a_forbidden_length_is_refused(size: int) -> None:
    with pytest.raises(StunError):
        stun.parse(with_attributes(b"\0\x1c" + size.to_bytes(2, "big") + bytes((size + 3) & ~3)))


@pytest.mark.parametrize("size", [0, 16, 19, 21, 24])
def test_sha1_of_a_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(StunError):
        stun.parse(with_attributes(b"\0\x08" + size.to_bytes(2, "big") + bytes((size + 3) & ~3)))


@pytest.mark.parametrize("attribute", [b"\x80\x28\0\x04abcd\x80\x22\0\0", b"\x80\x28\0\x03abc\0", b"\x80\x28\0\0"])
def test_a_fingerprint_that_is_not_last_or_not_four_bytes_is_refused(attribute: bytes) -> None:
    with pytest.raises(StunError):
        stun.parse(with_attributes(attribute))


# Against another implementation, and against anything.


def test_aioice_reads_what_we_make() -> None:
    attributes = [
        (int(Attribute.USERNAME), b"remote:local"),
        (int(Attribute.PRIORITY), stun.encode_priority(1)),
        (int(Attribute.XOR_MAPPED_ADDRESS), stun.encode_xor_address(("2001:db8::1", 5000), TRANSACTION)),
        (int(Attribute.ERROR_CODE), stun.encode_error(487)),
        (int(Attribute.USE_CANDIDATE), b""),
    ]
    data = stun.encode(1, 0, TRANSACTION, attributes, key=b"key", fingerprint=True)
    read = aioice.stun.parse_message(data)
    read.check_message_integrity(b"key")
    assert read.attributes["USERNAME"] == "remote:local"
    assert read.attributes["XOR-MAPPED-ADDRESS"] == ("2001:db8::1", 5000)
    assert read.attributes["ERROR-CODE"] == (487, "Role Conflict")
    assert read.attributes["PRIORITY"] == 1


def test_we_read_what_aioice_makes() -> None:
    made = aioice.stun.Message(aioice.stun.Method.ALLOCATE, aioice.stun.Class.REQUEST, TRANSACTION)
    made.attributes["LIFETIME"] = 600
    made.attributes["XOR-PEER-ADDRESS"] = ("192.0.2.9", 9)
    made.attributes["ICE-CONTROLLING"] = 1 << 60
    made.add_message_integrity(b"key")
    message = stun.parse(bytes(made))
    assert message.method == Method.ALLOCATE
    assert [stun.decode_lifetime(value) for value in message.all(Attribute.LIFETIME)] == [600]
    assert [stun.decode_xor_address(v, TRANSACTION) for v in message.all(Attribute.XOR_PEER_ADDRESS)] == [
        ("192.0.2.9", 9)
    ]
    assert stun.verify_integrity(message, b"key")


plain_kinds = st.integers(0, 0xFFFF).filter(lambda kind: kind not in (0x0008, 0x001C, 0x8028))


@given(
    st.integers(0, 0xFFF),
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    st.lists(st.tuples(plain_kinds, st.binary(max_size=40)), max_size=stun.MAX_ATTRIBUTES),
    st.none() | st.binary(max_size=40),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=100)
def test_every_message_comes_back_as_it_was(method, message_class, tid, attributes, key, sha256, fingerprint) -> None:  # type: ignore[no-untyped-def]
    data = stun.encode(method, message_class, tid, attributes, key=key, sha256=sha256, fingerprint=fingerprint)
    message = stun.parse(data)
    assert (message.method, message.message_class, message.transaction_id) == (method, message_class, tid)
    assert message.attributes == attributes
    assert message.has_integrity is (key is not None)
    if key is not None:
        assert stun.verify_integrity(message, key)
    assert stun.verify_fingerprint(message) is fingerprint


VECTORS = [REQUEST, RESPONSE_IPV4, RESPONSE_IPV6, LONG_TERM, USERHASH_SHA256]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(VECTORS)))
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(with_attributes) | mutated())
@settings(max_examples=300)
def test_any_bytes_are_a_message_or_the_one_error(data: bytes) -> None:
    try:
        message = stun.parse(data)
    except StunError:
        return
    stun.verify_integrity(message, b"key", min_sha256_bytes=16)
    stun.verify_fingerprint(message)
