"""Nonces without state (RFC 8489 §9.2): time of issue and an HMAC over it, the client's address and port, and the
security features announced in front.

24 characters, of which 13 are the RFC's cookie and the features; there is no shorter form that fills its attribute. The
other 11 are two bytes of time and six of HMAC, over the whole time: what is older than NONCE_SECONDS stays stale when
the two bytes come round. A nonce only shows that its client gets what we send; 48 bits are enough for that, since each
guess is answered and those are limited by source. A nonce of another process, address or port is stale too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from functools import lru_cache

from turnd.turn.allocation import Address
from wire import stun

NONCE_SECONDS = 600
MAC_BYTES = 6
MIN_SECRET_BYTES = 16
MAC_CACHE = 4096
_PREFIX_BYTES = len(stun.NONCE_COOKIE) + 4
_NONCE_BYTES = _PREFIX_BYTES + 11


class NonceAuthority:
    """Issues and checks nonces; `secret` is random and lives as long as the process."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError("the nonce secret is too short")
        self._secret = secret
        self._mac = lru_cache(maxsize=MAC_CACHE)(self._compute_mac)  # a nonce comes back soon, and with each request

    def _compute_mac(self, issued: int, client: Address, features: int) -> bytes:
        host, port = client
        covered = b"%b%b%b%b" % (
            issued.to_bytes(8, "big"),
            features.to_bytes(3, "big"),
            port.to_bytes(2, "big"),
            host.encode(),
        )
        return hmac.digest(self._secret, covered, "sha256")[:MAC_BYTES]

    def issue(self, client: Address, now: float, features: int) -> bytes:
        """A nonce for `client`; `features` (stun.SecurityFeature) are announced in it."""
        issued = int(now)
        raw = (issued & 0xFFFF).to_bytes(2, "big") + self._mac(issued, client, features)
        return stun.encode_nonce(features, base64.b64encode(raw)[:-1])

    def check(self, nonce: bytes, client: Address, now: float) -> bool:
        """Whether we issued `nonce` to `client` at most NONCE_SECONDS ago."""
        features = stun.nonce_features(nonce)
        if features is None or len(nonce) != _NONCE_BYTES:
            return False
        try:
            raw = binascii.a2b_base64(nonce[_PREFIX_BYTES:] + b"=", strict_mode=True)
        except binascii.Error:
            return False
        age = (int(now) - int.from_bytes(raw[:2], "big")) & 0xFFFF
        issued = int(now) - age
        if len(raw) != 2 + MAC_BYTES or age > NONCE_SECONDS or issued < 0:
            return False
        return hmac.compare_digest(raw[2:], self._mac(issued, client, features))
