"""The ICE-lite side of one peer connection: answers connectivity checks and knows where the peer is.

RFC 8445 §2.5, §7.3 (checks), §8.2 (lite nomination), §9 (restart), RFC 7675 (consent, seen from the answering side).
Remote candidates are never read: the peer is where its authenticated checks come from. The owner routes messages here
by the local username fragment, keeps the validated pairs and sends what comes back. `now` is monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wire import stun
from wire.stun import Attribute, Message, MessageClass, Method

Address = tuple[str, int]
Pair = tuple[Address, Address]  # (remote, local)

CONNECT_SECONDS = 30.0  # without any authenticated check since the credentials were given out
CONSENT_SECONDS = 30.0  # without one after that (RFC 7675 §5.1)
MAX_UFRAG_CHARACTERS = 256

_USERNAME = int(Attribute.USERNAME)
_USE_CANDIDATE = int(Attribute.USE_CANDIDATE)
_ICE_CONTROLLED = int(Attribute.ICE_CONTROLLED)
_XOR_MAPPED = int(Attribute.XOR_MAPPED_ADDRESS)


class Outcome(StrEnum):
    """What became of a STUN message; also a metric label."""

    OK = "ok"
    NOT_A_CHECK = "not-a-check"  # no Binding request
    UNKNOWN = "unknown-ufrag"
    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_ATTRIBUTE = "unknown-attribute"
    ROLE_CONFLICT = "role-conflict"
    TAKEN = "address-taken"  # the owner found that the address is that of another, living connection


class IceState(StrEnum):
    """`CONNECTED` from the first authenticated check on, `FAILED` when there was none for too long."""

    NEW = "new"
    CONNECTED = "connected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A username fragment and its password."""

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class Check:
    """What to answer to one message (to where it came from), and whether its pair is newly selected."""

    outcome: Outcome
    response: bytes | None = None
    selected: bool = False


def local_ufrag(message: Message) -> str | None:
    """Our half of the USERNAME "local:remote" of a check, None when it has none (RFC 8445 §7.2.2)."""
    value = message.get(_USERNAME)
    if value is None or len(value) > 2 * MAX_UFRAG_CHARACTERS + 1:
        return None
    local, colon, _ = value.partition(b":")
    return local.decode("ascii", "replace") if colon else None


class IceLite:
    """One agent. Between a restart and the first nomination under it the old credentials and the old pair go on."""

    def __init__(self, credentials: Credentials, now: float) -> None:
        self.credentials = credentials
        self.previous: Credentials | None = None
        self.state = IceState.NEW
        self.pair: Pair | None = None
        self.nominated = False
        self.started_at = now
        self.checked_at: float | None = None
        self.restarts = 0
        self._keys = {credentials.ufrag: credentials.password.encode()}
        self._restarting = False

    def restart(self, credentials: Credentials, now: float) -> None:
        """New local credentials (RFC 8445 §9); the pair in use stays until one is nominated with them."""
        self.previous, self.credentials = self.credentials, credentials
        self._keys = {each.ufrag: each.password.encode() for each in (self.previous, credentials)}
        self._restarting = True
        self.restarts += 1
        if self.state is not IceState.CONNECTED:
            self.state, self.started_at, self.checked_at = IceState.NEW, now, None

    @property
    def ufrags(self) -> tuple[str, ...]:
        """The local fragments that checks may carry now."""
        return tuple(self._keys)

    def receive(self, message: Message, source: Address, local: Address, now: float) -> Check:
        """Handles a message addressed to one of `ufrags`; the response, if any, goes from `local` to `source`."""
        if message.method != Method.BINDING or message.message_class != MessageClass.REQUEST:
            return Check(Outcome.NOT_A_CHECK)
        if message.has_fingerprint and not stun.verify_fingerprint(message):
            return Check(Outcome.MALFORMED)
        ufrag = local_ufrag(message)
        key = self._keys.get(ufrag or "")
        if ufrag is None or not message.has_integrity:  # RFC 8489 §9.1.3: no short-term credentials
            return Check(Outcome.MALFORMED, _error(message, 400))
        if key is None or not stun.verify_integrity(message, key):
            return Check(Outcome.UNAUTHENTICATED, _error(message, 401))
        if message.unknown_required:
            unknown = stun.encode_unknown_attributes(message.unknown_required)
            extra = [(int(Attribute.UNKNOWN_ATTRIBUTES), unknown)]
            return Check(Outcome.UNKNOWN_ATTRIBUTE, _error(message, 420, key, extra))
        if message.get(_ICE_CONTROLLED) is not None:  # a lite agent is always the controlled one, RFC 8445 §6.1.1
            return Check(Outcome.ROLE_CONFLICT, _error(message, 487, key))
        response = stun.encode(
            Method.BINDING,
            MessageClass.SUCCESS,
            message.transaction_id,
            [(_XOR_MAPPED, stun.encode_xor_address(source, message.transaction_id))],
            key=key,
            fingerprint=True,
        )
        nominate = message.get(_USE_CANDIDATE) is not None
        return Check(Outcome.OK, response, self._validated((source, local), ufrag, nominate, now))

    def _validated(self, pair: Pair, ufrag: str, nominate: bool, now: float) -> bool:
        """Notes an authenticated check; whether its pair is newly selected."""
        current = ufrag == self.credentials.ufrag
        self.checked_at = now
        self.state = IceState.CONNECTED
        if self._restarting and current and nominate:
            self._restarting = False
            self.previous = None
            self._keys = {ufrag: self._keys[ufrag]}
        elif self._restarting and not current and pair != self.pair and self.pair is not None:
            nominate = False
        if self.pair is None or (nominate and pair != self.pair):
            self.pair, self.nominated = pair, nominate
            return True
        self.nominated = self.nominated or (nominate and pair == self.pair)
        return False

    def handle_timer(self, now: float) -> None:
        """Ends a connection whose peer is silent."""
        if self.next_timer() <= now:
            self.state = IceState.FAILED

    def next_timer(self) -> float:
        """When to call `handle_timer`; infinity after failure."""
        if self.state is IceState.FAILED:
            return float("inf")
        return self.started_at + CONNECT_SECONDS if self.checked_at is None else self.checked_at + CONSENT_SECONDS


def _error(
    message: Message, code: int, key: bytes | None = None, extra: list[tuple[int, bytes]] | None = None
) -> bytes:
    attributes = [(int(Attribute.ERROR_CODE), stun.encode_error(code)), *(extra or ())]
    return stun.encode(
        Method.BINDING, MessageClass.ERROR, message.transaction_id, attributes, key=key, fingerprint=True
    )
