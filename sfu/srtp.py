"""Key derivation of SRTP for media that is sealed without libsrtp (RFC 3711 §4.3)."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

_MASTER_SALT_BYTES = 14
_RTP_ENCRYPTION, _RTP_SALT = 0, 2  # labels


def rtp_keys(key: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Session key and session salt of RTP, as long as the master key (16 or 32 bytes) and salt (12 for AEAD).

    The key derivation rate is 0; a salt shorter than 14 bytes is filled with zeros behind (RFC 7714 §11).
    """
    return _derive(key, salt, _RTP_ENCRYPTION, len(key)), _derive(key, salt, _RTP_SALT, len(salt))


def _derive(key: bytes, salt: bytes, label: int, size: int) -> bytes:
    counter = int.from_bytes(salt.ljust(_MASTER_SALT_BYTES, b"\0"), "big") ^ label << 48
    return Cipher(AES(key), CTR((counter << 16).to_bytes(16, "big"))).encryptor().update(bytes(size))
