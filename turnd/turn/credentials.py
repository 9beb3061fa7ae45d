"""Long-term credentials (RFC 8489 §9.2): static users, and the TURN REST scheme (`expiry:name` signed with a secret).

Immutable: a reload is a new object. Several secrets are valid at once, newest first, so that they can be rotated.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from wire import stun

MAX_EXPIRY_DIGITS = 12
KEY_CACHE = 1024  # keys of the users seen last


def rest_password(secret: str, username: str) -> str:
    """The password that the REST scheme gives to `username`: base64 of HMAC-SHA1."""
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    return base64.b64encode(digest).decode()


def rest_credentials(secret: str, name: str, ttl: int, now_epoch: float) -> tuple[str, str]:
    """(username, password), valid for `ttl` seconds from `now_epoch` (seconds since 1970)."""
    username = f"{int(now_epoch) + ttl}:{name}"
    return username, rest_password(secret, username)


def rest_expiry(username: str) -> int | None:
    """When a REST user name ends, in seconds since 1970; None when it is not one."""
    expiry = username.partition(":")[0]
    if not expiry.isascii() or not expiry.isdigit() or len(expiry) > MAX_EXPIRY_DIGITS:
        return None
    return int(expiry)


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """What is kept of a static user's password: the key of each algorithm. They are those of one name and realm."""

    md5: bytes = field(repr=False)
    sha256: bytes = field(repr=False)


def stored_keys(username: str, realm: str, password: str) -> StoredKeys:
    """The keys in place of a password."""
    return StoredKeys(
        stun.long_term_key(username, realm, password), stun.long_term_key_sha256(username, realm, password)
    )


@dataclass(frozen=True)
class Credentials:
    """Who may allocate."""

    realm: str
    secrets: Sequence[str] = ()
    users: Mapping[str, str | StoredKeys] = field(default_factory=dict)
    """Static users: name to password or keys."""
    _derive: Callable[[str, bool], tuple[bytes, ...]] = field(init=False, repr=False, compare=False)
    _by_hash: Mapping[bytes, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_hash = {stun.userhash(name, self.realm): name for name in self.users}
        object.__setattr__(self, "_by_hash", by_hash)
        object.__setattr__(self, "_derive", lru_cache(maxsize=KEY_CACHE)(self._keys))

    def user_of_hash(self, value: bytes) -> str | None:
        """The static user a USERHASH stands for."""
        return self._by_hash.get(value)

    def expired(self, username: str, now_epoch: float) -> bool:
        """Whether a REST user name's time is over; static users never expire."""
        expiry = None if username in self.users else rest_expiry(username)
        return expiry is not None and expiry < now_epoch

    def keys(self, username: str, *, sha256: bool = False) -> tuple[bytes, ...]:
        """The keys any of which proves the user, best first; empty when there is no such user."""
        return self._derive(username, sha256)

    def _keys(self, username: str, sha256: bool) -> tuple[bytes, ...]:
        user = self.users.get(username)
        if isinstance(user, StoredKeys):
            return (user.sha256 if sha256 else user.md5,)
        if user is not None:
            passwords = [user]
        elif rest_expiry(username) is not None:
            passwords = [rest_password(secret, username) for secret in self.secrets]
        else:
            return ()
        derive = stun.long_term_key_sha256 if sha256 else stun.long_term_key
        return tuple(derive(username, self.realm, password) for password in passwords)
