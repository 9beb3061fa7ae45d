"""Nonces without state (RFC 8489 §9.2): time of issue and an HMAC over it, the client's address and port, and
the features.

Twelve bytes, sixteen characters. A nonce of another process, address or port, or older than NONCE_SECONDS, is stale.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from turnd.turn.allocation import Address
from wire import stun

NONCE_SECONDS = 600
MAC_BYTES = 8
MIN_SECRET_BYTES = 16
_TEXT_BYTES = 16


class NonceAuthority:
    """Issues and checks nonces; `secret` is random and lives as long as the process."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError("the nonce secret is too short")
        self._secret = secret

    def _mac(self, issued: bytes, client: Address, features: int) -> bytes:
        host, port = client
        covered = b"%b%b%b%b" % (issued, features.to_bytes(3, "big"), port.to_bytes(2, "big"), host.encode())
        return hmac.digest(self._secret, covered, "sha256")[:MAC_BYTES]

    def issue(self, client: Address, now: float, features: int = 0) -> bytes:
        """A nonce for `client`; `features` (stun.SecurityFeature) are announced in front of it."""
        issued = (int(now) & 0xFFFFFFFF).to_bytes(4, "big")
        text = base64.b64encode(issued + self._mac(issued, client, features))
        return stun.encode_nonce(features, text) if features else text

    def check(self, nonce: bytes, client: Address, now: float) -> bool:
        """Whether we issued `nonce` to `client` at most NONCE_SECONDS ago."""
        features = stun.nonce_features(nonce) or 0
        try:
            raw = base64.b64decode(nonce[-_TEXT_BYTES:], validate=True)
        except (binascii.Error, ValueError):
            return False
        if len(raw) != 4 + MAC_BYTES or len(nonce) != _TEXT_BYTES + (len(stun.NONCE_COOKIE) + 4 if features else 0):
            return False
        issued, mac = raw[:4], raw[4:]
        if not hmac.compare_digest(mac, self._mac(issued, client, features)):
            return False
        age = (int(now) - int.from_bytes(issued, "big")) & 0xFFFFFFFF
        return age <= NONCE_SECONDS
