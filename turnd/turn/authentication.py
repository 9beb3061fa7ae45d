"""The long-term credential mechanism as a server checks it (RFC 8489 §9.2.4). No state but what it is given.

A challenge carries nothing that is not needed, so that a forged source gains little: no reason phrase, no SOFTWARE, a
short nonce. It offers SHA-256 alone: who knows no PASSWORD-ALGORITHMS uses MD5 as in RFC 5389 anyway, and nobody else
needs to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from turnd.turn.allocation import Flow
from turnd.turn.credentials import Credentials
from turnd.turn.nonce import NonceAuthority
from wire import stun
from wire.stun import Attribute, PasswordAlgorithm, SecurityFeature

AUTH_FAILURES = ("malformed", "stale_nonce", "unknown_user", "expired", "wrong_password")
PASSWORD_ALGORITHMS = stun.encode_password_algorithms([(PasswordAlgorithm.SHA256, b"")])
_KEY_BYTES = 16
_ALGORITHMS_OFFERED = int(SecurityFeature.PASSWORD_ALGORITHMS)
_ANONYMITY_WANTED = int(SecurityFeature.USERNAME_ANONYMITY)


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """An answer that is an error: `code`, attributes behind ERROR-CODE, `reason` one of AUTH_FAILURES or empty."""

    def __init__(self, code: int, *attributes: tuple[int, bytes], reason: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.attributes = attributes
        self.reason = reason


@dataclass(slots=True)
class Identity:
    """Who made a request, and how to protect the answer."""

    username: str
    key: bytes = field(repr=False)
    sha256: bool
    """With MESSAGE-INTEGRITY-SHA256, else with MESSAGE-INTEGRITY."""


class Authenticator:
    """Checks requests; `credentials` is replaced on reload, `epoch` tells seconds since 1970."""

    def __init__(self, credentials: Credentials, nonces: NonceAuthority, epoch: Callable[[], float]) -> None:
        self.credentials = credentials
        self.announce_userhash = False
        """Whether clients are asked for USERHASH; it is understood in any case."""
        self._nonces = nonces
        self._epoch = epoch

    def challenge(self, code: int, flow: Flow, now: float, reason: str) -> Refused:
        """401 or 438 with what a client needs to try again."""
        features = _ALGORITHMS_OFFERED | (_ANONYMITY_WANTED if self.announce_userhash else 0)
        return Refused(
            code,
            (Attribute.REALM, self.credentials.realm.encode()),
            (Attribute.NONCE, self._nonces.issue(flow.client, now, features)),
            (Attribute.PASSWORD_ALGORITHMS, PASSWORD_ALGORITHMS),
            reason=reason,
        )

    def authenticate(self, message: stun.Message, flow: Flow, now: float, *, known_user: str | None) -> Identity:
        """Who sent `message`, which has an integrity; raises Refused.

        `known_user` may go on with a REST name whose time is over.
        """
        # 1. No integrity: 401 with REALM, NONCE and PASSWORD-ALGORITHMS, which `challenge` is.
        # 2. Integrity, but no USERNAME or USERHASH, REALM or NONCE: 400.
        nonce = message.get(Attribute.NONCE)
        if nonce is None or message.get(Attribute.REALM) is None:
            raise Refused(400, reason="malformed")
        name = _name(message)
        # 3. PASSWORD-ALGORITHM must be among what we offered, and the offer must have come back as we sent it: 400.
        sha256 = _uses_sha256(message, nonce)
        # 4. The nonce is not, or no longer, valid: 438.
        # Before anything that depends on the user: who has no nonce learns nothing about whom we know.
        if not self._nonces.check(nonce, flow.client, now):
            raise self.challenge(438, flow, now, "stale_nonce")
        # 5. Unknown user: 401. The same work is done as for a wrong password.
        username = name if isinstance(name, str) else self.credentials.user_of_hash(name)
        keys = () if username is None else self.credentials.keys(username, sha256=sha256)
        for key in keys or (bytes(_KEY_BYTES),):
            # 6. Wrong integrity: 401.
            if stun.verify_integrity(message, key) and keys and username is not None:
                if self.credentials.expired(username, self._epoch()) and username != known_user:
                    raise self.challenge(401, flow, now, "expired")
                return Identity(username, key, sha256)
        raise self.challenge(401, flow, now, "wrong_password" if keys else "unknown_user")


def _name(message: stun.Message) -> str | bytes:
    """USERNAME, else USERHASH; raises Refused."""
    name, name_hash = message.get(Attribute.USERNAME), message.get(Attribute.USERHASH)
    if name is not None:
        try:
            return stun.decode_text(name, stun.MAX_USERNAME_BYTES)
        except stun.StunError:
            raise Refused(400, reason="malformed") from None
    if name_hash is None:
        raise Refused(400, reason="malformed")
    return name_hash


def _uses_sha256(message: stun.Message, nonce: bytes) -> bool:
    """Whether the request is of RFC 8489, else it is treated as one of RFC 5389 (MD5).

    Raises Refused when it does not choose from what we offered with its nonce: the offer was changed on the way.
    """
    offered = message.get(Attribute.PASSWORD_ALGORITHMS)
    chosen = message.get(Attribute.PASSWORD_ALGORITHM)
    if (offered is None and chosen is None) or not (stun.nonce_features(nonce) or 0) & _ALGORITHMS_OFFERED:
        return False
    if offered != PASSWORD_ALGORITHMS or chosen != PASSWORD_ALGORITHMS:  # the one entry of the list is the choice
        raise Refused(400, reason="malformed")
    return True
