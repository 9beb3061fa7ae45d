"""Who may join: room passwords, tokens, and limits on how often one may try.

Clocks and randomness are parameters. A `SourceLimiter` belongs to the service, a `RoomPassword` to its room.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Mapping

MAX_SOURCES = 4096
TOKEN_BYTES = 24
ID_BYTES = 6
_SALT_BYTES = 16
# A slow hash, as NIST SP 800-63B §5.1.1.2 asks for what is stored, but one the event loop can afford: a few ms, 1 MiB.
_SCRYPT_COST = 1024


def new_token() -> str:
    """A name nobody can guess: 192 random bits, URL-safe."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def new_id() -> str:
    """An id for a participant or a chat message; no secret."""
    return secrets.token_hex(ID_BYTES)


class RoomPassword:
    """A room's password, of which only salted hashes are kept; empty: none is asked for.

    The slow one is what outlives the process. The quick one is made when the password is there, and spares the others
    who bring it the slow one.
    """

    __slots__ = ("_quick", "_quick_salt", "_salt", "_slow")

    def __init__(self, password: str) -> None:
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._slow = self._hash(password) if password else b""
        self._quick_salt = secrets.token_bytes(_SALT_BYTES)
        self._quick = self._quick_hash(password) if password else b""

    @classmethod
    def restored(cls, record: Mapping[str, str]) -> RoomPassword:
        """As `record` says; ValueError, KeyError."""
        password = cls("")
        password._salt, password._slow = bytes.fromhex(record["salt"]), bytes.fromhex(record["digest"])
        return password

    def record(self) -> dict[str, str]:
        """What can be stored."""
        return {"salt": self._salt.hex(), "digest": self._slow.hex()}

    def _hash(self, password: str) -> bytes:
        return hashlib.scrypt(password.encode(), salt=self._salt, n=_SCRYPT_COST, r=8, p=1)

    def _quick_hash(self, password: str) -> bytes:
        return hashlib.blake2b(password.encode(), salt=self._quick_salt).digest()

    @property
    def required(self) -> bool:
        """Whether one must be given at all."""
        return bool(self._slow)

    def admits(self, password: str) -> bool:
        """Whether `password` opens the room, in a time that does not tell how nearly it does."""
        if not self.required:
            return True
        if self._quick:
            return hmac.compare_digest(self._quick, self._quick_hash(password))
        right = hmac.compare_digest(self._slow, self._hash(password))
        if right:
            self._quick = self._quick_hash(password)
        return right


class TokenBucket:
    """Allows `burst` at once and `per_second` in the long run."""

    __slots__ = ("_at", "_left", "burst", "per_second")

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self.burst = burst
        self.per_second = per_second
        self._left = burst
        self._at = now

    def _refill(self, now: float) -> None:
        self._left = min(self.burst, self._left + max(0.0, now - self._at) * self.per_second)
        self._at = now

    def take(self, now: float) -> bool:
        """Takes one if there is one."""
        self._refill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def empty(self, now: float) -> bool:
        """Whether `take` would refuse now."""
        self._refill(now)
        return self._left < 1


def source_of(address: str) -> str:
    """What counts as one origin of attempts: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


class SourceLimiter:
    """One bucket for each source seen of late; the one unused for longest is forgotten when there are MAX_SOURCES."""

    def __init__(self, burst: float, per_second: float, maximum: int = MAX_SOURCES) -> None:
        self._burst = burst
        self._per_second = per_second
        self._maximum = maximum
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def _bucket(self, source: str, now: float) -> TokenBucket:
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= self._maximum:
                self._buckets.popitem(last=False)
            bucket = self._buckets[source] = TokenBucket(self._burst, self._per_second, now)
        self._buckets.move_to_end(source)
        return bucket

    def take(self, source: str, now: float) -> bool:
        """Takes one attempt from `source`'s allowance, if one is left."""
        return self._bucket(source, now).take(now)

    def exhausted(self, source: str, now: float) -> bool:
        """Whether `source` has no attempt left."""
        return source in self._buckets and self._buckets[source].empty(now)
