"""What is left of a DTLS 1.2 connection that only gave keys to SRTP: close_notify in both directions.

OpenSSL holds 74 kB for each connection, most of it buffers that DTLS does not release. Of an AES-GCM one, this keeps
the alert that says goodbye, made beforehand, and the key the peer's alerts are read with (RFC 5246 §6.3, RFC 5288 §3,
RFC 6347 §4.1). Sans-IO.
"""

from __future__ import annotations

import hmac
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

from wire.dtls_records import RECORD_HEADER_BYTES

ALERT = 21
_EPOCH = b"\x00\x01"  # the only one with keys: nobody renegotiates
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 8, 16
_ALERT_BYTES = 2
_FATAL, _CLOSE_NOTIFY = 2, 0
_SUITES = {"AES128-GCM-SHA256": (16, "sha256"), "AES256-GCM-SHA384": (32, "sha384")}


def expand(secret: bytes, label: bytes, size: int, algorithm: str) -> bytes:
    """The PRF of RFC 5246 §5."""
    result = b""
    block = label
    while len(result) < size:
        block = hmac.digest(secret, block, algorithm)
        result += hmac.digest(secret, block + label, algorithm)
    return result[:size]


class DtlsRest:
    """Reads the peer's alerts, and has a `farewell` to send: one record."""

    def __init__(self, key: bytes, salt: bytes, farewell: bytes) -> None:
        self.farewell = farewell
        self._key = key
        self._salt = salt

    @staticmethod
    def of(ssl: SSL.Connection, role: Literal["server", "client"]) -> DtlsRest | None:
        """Ends OpenSSL's connection and takes over from it; None, and it goes on, for a cipher not read here."""
        suite = next((found for name, found in _SUITES.items() if (ssl.get_cipher_name() or "").endswith(name)), None)
        secret, server_random, client_random = ssl.master_key(), ssl.server_random(), ssl.client_random()
        if suite is None or secret is None or server_random is None or client_random is None:
            return None
        size, algorithm = suite
        label = b"key expansion" + server_random + client_random
        block = expand(secret, label, 2 * (size + _SALT_BYTES), algorithm)
        ours = 1 if role == "client" else 0  # a client's key comes first: which one is the peer's
        key = block[ours * size : (ours + 1) * size]
        salt = block[2 * size + ours * _SALT_BYTES :][:_SALT_BYTES]
        try:
            ssl.shutdown()
            return DtlsRest(key, salt, ssl.bio_read(1 << 14))
        except SSL.Error:
            return None

    def ends(self, record: bytes) -> bool:
        """Whether a well-formed record is an authentic alert after which there is no connection."""
        body = record[RECORD_HEADER_BYTES:]
        if record[0] != ALERT or record[3:5] != _EPOCH or len(body) != _NONCE_BYTES + _ALERT_BYTES + _TAG_BYTES:
            return False
        head = record[3:11] + record[:3] + _ALERT_BYTES.to_bytes(2, "big")
        try:
            level, description = AESGCM(self._key).decrypt(self._salt + body[:_NONCE_BYTES], body[_NONCE_BYTES:], head)
        except InvalidTag:
            return False
        return level == _FATAL or description == _CLOSE_NOTIFY
