"""The transaction ids of Data indications: SipHash of a counter, under a key that no other use has."""

from __future__ import annotations

from hashlib import blake2b

from tests.turnd.turn.test_relay import Bench

MASK = (1 << 64) - 1


def siphash(key: bytes, message: bytes) -> bytes:
    """SipHash-2-4 as its authors write it down."""
    v = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]
    v = [each ^ int.from_bytes(key[at & 8 : (at & 8) + 8], "little") for each, at in zip(v, (0, 8, 0, 8), strict=True)]

    def rotate(value: int, by: int) -> int:
        return (value << by | value >> 64 - by) & MASK

    def rounds(number: int) -> None:
        for _ in range(number):
            for a, b, c, d, left, right in ((0, 1, 2, 3, 13, 16), (2, 1, 0, 3, 17, 21)):
                v[a] = v[a] + v[b] & MASK
                v[c] = v[c] + v[d] & MASK
                v[b] = rotate(v[b], left) ^ v[a]
                v[d] = rotate(v[d], right) ^ v[c]
                v[a] = rotate(v[a], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")


def test_the_published_vectors() -> None:
    key, message = bytes(range(16)), bytes(range(15))
    assert siphash(key, message).hex() == "e545be4961ca29a1"
    assert siphash(key, message[:8]).hex() == "6224939a79f5f593"


async def test_transaction_ids_are_siphash_of_a_counter() -> None:
    key = blake2b(b"seedseed", digest_size=16, person=b"transaction id").digest()
    async with Bench() as bench:
        bench.relay.permit(bench.addresses[0][0], bench.at(live=True), False)
        for number in range(0, 100, 2):
            bench.from_peer(0, b"x")
            first, second = (siphash(key, each.to_bytes(8, "little")) for each in (number, number + 1))
            assert (await bench.at_client())[8:20] == first + second[:4]
