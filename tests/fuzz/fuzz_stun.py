"""`python -m tests.fuzz stun`: any bytes are a message or StunError.

What parses must also survive being made again: the same attributes, and each value either decoded or refused.
"""

from __future__ import annotations

from wire import stun

TRANSACTION = bytes(12)
DECODERS = (
    stun.decode_address,
    stun.decode_address_error,
    stun.decode_channel,
    stun.decode_error,
    stun.decode_even_port,
    stun.decode_flag,
    stun.decode_icmp,
    stun.decode_password_algorithm,
    stun.decode_reservation_token,
    stun.decode_text,
    stun.decode_transport,
    stun.decode_u64,
    stun.decode_unknown_attributes,
    stun.nonce_features,
)


def one_input(data: bytes) -> None:
    """Raises only when the codec is wrong."""
    try:
        message = stun.parse(data)
    except stun.StunError:
        return
    stun.verify_integrity(message, b"key", min_sha256_bytes=stun.MIN_SHA256_BYTES)
    stun.verify_fingerprint(message)
    for _, value in message.attributes:
        values(value)
    again = stun.parse(
        stun.encode(message.method, message.message_class, message.transaction_id, message.attributes, key=b"key")
    )
    if (again.attributes, again.unknown_required) != (message.attributes, message.unknown_required):
        raise AssertionError("a message changed by being made again")


def values(value: bytes) -> None:
    """Each decoder on one value."""
    for decode in DECODERS:
        try:
            decode(value)
        except stun.StunError:
            continue
    try:
        address = stun.decode_xor_address(value, TRANSACTION)
    except stun.StunError:
        return
    if stun.encode_xor_address(address, TRANSACTION)[1:] != value[1:]:
        raise AssertionError("an address changed by being made again")
