"""DTLS 1.2 (RFC 6347) without sockets or clocks: pyOpenSSL on memory BIOs, keys for SRTP (RFC 5764).

`DtlsContext` is shared by the process; a `DtlsConnection` belongs to whoever owns the 5-tuple, which feeds it datagrams
and `now`, sends what `datagrams_to_send` gives, and compares `peer_fingerprint` with what signalling said (certificates
are required but not verified otherwise). OpenSSL's retransmission timer starts at 1 s and cannot be set through
pyOpenSSL, so the last flight is kept here and sent again verbatim: when the peer repeats itself, and by a timer that
starts at 100 ms.
"""

from __future__ import annotations

import hmac
import os
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from OpenSSL import SSL
from OpenSSL.crypto import X509

from wire.dtls_records import MAX_RECORD_BYTES, MTU_BYTES, RECORD_HEADER_BYTES, pack_records, split_records
from wire.dtls_rest import DtlsRest

Address = tuple[str, int]
State = Literal["new", "connecting", "connected", "closed", "failed"]

MAX_SEND_BYTES = 16384
MAX_HANDSHAKE_DATAGRAMS = 256
MAX_HANDSHAKE_BYTES = 128 * 1024
MAX_APPLICATION_DATAGRAMS = 1024  # received and not yet taken by the owner
MAX_SEEN_FRAGMENTS = 256
HANDSHAKE_TIMEOUT_S = 30.0
RESEND_FIRST_S = 0.1
RESEND_MAX_S = 3.2
RESEND_MIN_GAP_S = 0.04  # however often the peer repeats itself
COOKIE_LIFE_S = 300  # a cookie is good in this period and the next

_DTLS_1_2 = 0xFEFD
HANDSHAKE = 22
HANDSHAKE_HEADER_BYTES = 12
_READ_BYTES = 16384
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
)
_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
_DIGESTS = {"sha-224": "sha224", "sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}


class _SrtpProfile(NamedTuple):
    openssl: bytes
    pylibsrtp: str
    key_bytes: int
    salt_bytes: int


# Cheapest first; an OpenSSL server picks by its own order.
_SRTP_PROFILES = (
    _SrtpProfile(b"SRTP_AEAD_AES_128_GCM", "SRTP_PROFILE_AEAD_AES_128_GCM", 16, 12),
    _SrtpProfile(b"SRTP_AEAD_AES_256_GCM", "SRTP_PROFILE_AEAD_AES_256_GCM", 32, 12),
    _SrtpProfile(b"SRTP_AES128_CM_SHA1_80", "SRTP_PROFILE_AES128_CM_SHA1_80", 16, 14),
)


class DtlsError(Exception):
    """The caller asked for what this connection cannot do (peers never cause it)."""


class Drop(StrEnum):
    """Why a datagram, or the rest of one, was not given to OpenSSL or not to the owner."""

    MALFORMED = "malformed"
    OVER = "over"  # the connection is closed or failed
    HANDSHAKE_EXCESS = "handshake_excess"
    APPLICATION_OVERFLOW = "application_overflow"
    NOT_A_HELLO = "not_a_hello"  # the listener takes ClientHellos only
    BAD_HELLO = "bad_hello"


class SrtpKeys(NamedTuple):
    """`profile` names an attribute of `pylibsrtp.Policy`; keys are key||salt, ours to protect, theirs to unprotect."""

    profile: str
    local_key: bytes
    remote_key: bytes


def _generate_certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Self-signed ECDSA P-256 with a random name, as WebRTC wants it; peers pin its fingerprint, not its dates."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, os.urandom(16).hex())])
    today = datetime.now(tz=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=3650))
    )
    return builder.sign(key, hashes.SHA256()), key


class DtlsContext:
    """One certificate and its settings. Without arguments: a fresh self-signed one for WebRTC.

    `pem` is a certificate chain for a TURN server, with its key unless `private_key` has it: no SRTP, and clients need
    no certificate. `cookie_secret` makes the context usable by `DtlsListener`. `alpn` is agreed on where a client
    offers it (RFC 7301). Raises DtlsError when the PEM has no usable pair.
    """

    def __init__(
        self,
        pem: bytes | None = None,
        private_key: bytes | None = None,
        *,
        cookie_secret: bytes | None = None,
        alpn: bytes = b"",
    ) -> None:
        self._context = context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_max_proto_version(_DTLS_1_2)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_cipher_list(_CIPHERS)
        if pem is None:
            self._certificate, key = _generate_certificate()
            context.use_certificate(self._certificate)
            context.use_privatekey(key)
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_any_certificate)
            context.set_tlsext_use_srtp(b":".join(profile.openssl for profile in _SRTP_PROFILES))
        else:
            self._certificate = self._load(pem, private_key or pem)
        if cookie_secret is not None:
            self._install_cookies(cookie_secret)
        if alpn:
            context.set_alpn_select_callback(
                lambda _ssl, offered: alpn if alpn in offered else SSL.NO_OVERLAPPING_PROTOCOLS
            )

    def _load(self, pem: bytes, private_key: bytes) -> x509.Certificate:
        try:
            chain = x509.load_pem_x509_certificates(pem)
            key = serialization.load_pem_private_key(private_key, password=None)
            self._context.use_certificate(chain[0])
            for certificate in chain[1:]:
                self._context.add_extra_chain_cert(certificate)
            if not isinstance(key, _KEYS):
                raise TypeError("no key that our ciphers sign with")
            self._context.use_privatekey(key)
            self._context.check_privatekey()
        except (ValueError, TypeError, SSL.Error) as error:
            raise DtlsError("the PEM data holds no certificate with its private key") from error
        return chain[0]

    def _install_cookies(self, secret: bytes) -> None:
        def cookie(address: Address, period: int) -> bytes:
            return hmac.digest(secret, f"{address[0]} {address[1]} {period}".encode(), "sha256")

        def generate(ssl: SSL.Connection) -> bytes:
            return cookie(*ssl.get_app_data())

        def verify(ssl: SSL.Connection, value: bytes) -> bool:
            address, period = ssl.get_app_data()
            return any(hmac.compare_digest(value, cookie(address, each)) for each in (period, period - 1))

        self._context.set_cookie_generate_callback(generate)
        self._context.set_cookie_verify_callback(verify)

    @property
    def fingerprint(self) -> str:
        """The value of an SDP `a=fingerprint:` line."""
        return f"sha-256 {self._certificate.fingerprint(hashes.SHA256()).hex(':').upper()}"

    def server(self) -> DtlsConnection:
        """A connection that waits for the peer's ClientHello (SDP `setup:passive`)."""
        return DtlsConnection(self.openssl("server"), "server")

    def client(self) -> DtlsConnection:
        """A connection that says ClientHello in `start` (SDP `setup:active`)."""
        return DtlsConnection(self.openssl("client"), "client")

    def openssl(self, role: Literal["server", "client"]) -> SSL.Connection:
        """A fresh OpenSSL state on memory BIOs, for a `DtlsConnection` or for the listener, which reads the hello."""
        ssl = SSL.Connection(self._context)
        ssl.set_ciphertext_mtu(MTU_BYTES)
        if role == "server":
            ssl.set_accept_state()
        else:
            ssl.set_connect_state()
        return ssl


def _accept_any_certificate(*_: object) -> bool:
    """Who the peer is is decided by its fingerprint, which the owner compares."""
    return True


class DtlsConnection:
    """One peer. Bytes of the peer never raise; what they do wrong is counted in `dropped` or ends in state "failed".

    `failure` then says why, `resends` counts flights sent again. After "closed" or "failed" OpenSSL's state is freed.
    """

    def __init__(self, ssl: SSL.Connection, role: Literal["server", "client"]) -> None:
        self.state: State = "new"
        self.failure = ""
        self.dropped = dict.fromkeys(Drop, 0)
        self.resends = 0
        self._ssl: SSL.Connection | None = ssl
        self._rest: DtlsRest | None = None
        self._role = role
        self._certificate: X509 | None = None
        self._outgoing: list[bytes] = []
        self._received: list[bytes] = []
        self._flight: list[bytes] = []
        self._flight_sent_at = 0.0
        self._resend_after_s = RESEND_FIRST_S
        self._resend_at: float | None = None
        self._fails_at: float | None = None
        self._handshake_datagrams = 0
        self._handshake_bytes = 0
        self._seen: set[bytes] = set()

    def start(self, now: float) -> None:
        """Begins the handshake and its timeout; a server may leave it to the first datagram."""
        if self.state == "new":
            self.state = "connecting"
            self._fails_at = now + HANDSHAKE_TIMEOUT_S
            self._handshake(now)

    def receive_datagram(self, data: bytes, now: float) -> None:
        """Takes one datagram from the peer."""
        if self._rest is not None:
            if any(self._rest.ends(data[start:end]) for start, end in split_records(data)):
                self._rest, self.state = None, "closed"
            return
        if self._ssl is None:
            self._drop(Drop.OVER)
            return
        records = list(split_records(data))
        whole = records[-1][1] if records else 0
        if whole < len(data) or not data:
            self._drop(Drop.MALFORMED)
        if not records:
            return
        self.start(now)
        if self.state == "connecting":
            self._receive_handshake(data[:whole], records, now)
        elif self.state == "connected":
            repeated = self._is_repeated(data, records)
            self._ssl.bio_write(data[:whole])
            answered = self._receive_application()
            self._resend_if(repeated and not answered, now)

    def handle_timer(self, now: float) -> None:
        """Does what is due; call it at `next_timer`."""
        if self._fails_at is not None and now >= self._fails_at:
            self._fail("handshake timeout")
        elif self._resend_at is not None and now >= self._resend_at:
            self._resend_after_s = min(2 * self._resend_after_s, RESEND_MAX_S)
            self._renumber()
            self._resend(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called, None if never."""
        if self._resend_at is None or self._fails_at is None:
            return self._fails_at
        return min(self._resend_at, self._fails_at)

    def datagrams_to_send(self) -> list[bytes]:
        """What to send to the peer now, each of whole records; handshake datagrams are at most MTU_BYTES long."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def application_data(self) -> list[bytes]:
        """What the peer has sent, one entry a record."""
        received, self._received = self._received, []
        return received

    def send(self, data: bytes) -> None:
        """Encrypts `data` into one record (29 to 37 bytes longer). DtlsError when not connected, empty or too long."""
        if self._ssl is None or self.state != "connected":
            raise DtlsError(f"cannot send while {self.state}")
        if not 0 < len(data) <= MAX_SEND_BYTES:
            raise DtlsError(f"a record carries 1 to {MAX_SEND_BYTES} bytes")
        try:
            self._ssl.send(data)
        except SSL.Error as error:
            self._fail(_reason(error))
            return
        self._outgoing += pack_records(self._output())

    def close(self) -> None:
        """Ends the connection with close_notify, which `datagrams_to_send` still gives."""
        if self._rest is not None:
            self._outgoing.append(self._rest.farewell)
            self._rest, self.state = None, "closed"
        elif self._ssl is not None:
            self._end("closed")

    def rest(self) -> bool:
        """Frees OpenSSL's state, for who only wanted the keys; goodbyes are still said and heard. Whether it could.

        The peer must be known to have our last flight: it would not get it again.
        """
        if self._ssl is not None and self.state == "connected":
            self._rest = DtlsRest.of(self._ssl, self._role)
        if self._rest is not None:
            self._ssl = None
            self._seen.clear()
        return self._rest is not None

    def peer_fingerprint(self, algorithm: str) -> str | None:
        """`AB:CD:…` of the peer's certificate by SDP hash name; None before "connected" or for a weak hash."""
        digest = _DIGESTS.get(algorithm.lower())
        return self._certificate.digest(digest).decode() if digest and self._certificate else None

    def srtp_keys(self) -> SrtpKeys:
        """The keys of RFC 5764 §4.2; DtlsError when not connected or when the peer did not agree on a profile."""
        if self._ssl is None or self.state != "connected":
            raise DtlsError(f"no SRTP keys while {self.state}")
        chosen = self._ssl.get_selected_srtp_profile()
        profile = next((each for each in _SRTP_PROFILES if each.openssl == chosen), None)
        if profile is None:
            raise DtlsError("the peer agreed on no SRTP profile")
        key, salt = profile.key_bytes, profile.salt_bytes
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        return SrtpKeys(profile.pylibsrtp, *((client, server) if self._role == "client" else (server, client)))

    def _receive_handshake(self, data: bytes, records: list[tuple[int, int]], now: float) -> None:
        self._handshake_datagrams += 1
        self._handshake_bytes += len(data)
        if self._handshake_datagrams > MAX_HANDSHAKE_DATAGRAMS or self._handshake_bytes > MAX_HANDSHAKE_BYTES:
            self._drop(Drop.HANDSHAKE_EXCESS)
            self._fail("handshake too long")
            return
        repeated = self._is_repeated(data, records)
        assert self._ssl is not None  # noqa: S101
        self._ssl.bio_write(data)
        progressed = self._handshake(now)
        self._resend_if(repeated and not progressed, now)

    def _handshake(self, now: float) -> bool:
        """Lets OpenSSL take a step; whether it had something to say."""
        assert self._ssl is not None  # noqa: S101
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._fail(_reason(error))
            return True
        else:
            self._connected()
        flight = pack_records(self._output())
        self._outgoing += flight
        if flight:
            self._flight = flight
            self._flight_sent_at = now
        if self.state == "connected":
            self._receive_application()
        elif flight:
            self._resend_after_s = RESEND_FIRST_S
            self._resend_at = now + RESEND_FIRST_S
        return bool(flight)

    def _connected(self) -> None:
        """Timers end; a server's last flight stays for a peer that repeats its own verbatim.

        A peer that renumbers what it repeats is answered by OpenSSL itself, inside `recv`.
        """
        assert self._ssl is not None  # noqa: S101
        self.state = "connected"
        self._certificate = self._ssl.get_peer_certificate()  # not parsed: the peer may have made it odd
        self._flight = []
        self._resend_at = self._fails_at = None

    def _receive_application(self) -> bool:
        """Takes all OpenSSL has decrypted; whether it had something to say meanwhile."""
        assert self._ssl is not None  # noqa: S101
        try:
            while True:
                data = self._ssl.recv(MAX_RECORD_BYTES)
                if len(self._received) < MAX_APPLICATION_DATAGRAMS:
                    self._received.append(data)
                else:
                    self._drop(Drop.APPLICATION_OVERFLOW)
        except SSL.WantReadError:
            answer = pack_records(self._output())
            self._outgoing += answer
            return bool(answer)
        except SSL.ZeroReturnError:
            self._end("closed")
        except SSL.Error as error:
            self._fail(_reason(error))
        return True

    def _is_repeated(self, data: bytes, records: list[tuple[int, int]]) -> bool:
        """Whether a plain handshake fragment was seen before: the peer has not got our flight."""
        repeated = False
        for start, end in records:
            body = start + RECORD_HEADER_BYTES
            if data[start] != HANDSHAKE or any(data[start + 3 : start + 5]) or end - body < HANDSHAKE_HEADER_BYTES:
                continue
            fragment = data[body : body + HANDSHAKE_HEADER_BYTES]  # type, length, message sequence, offset, length
            if fragment in self._seen:
                repeated = True
            elif len(self._seen) < MAX_SEEN_FRAGMENTS:
                self._seen.add(fragment)
        return repeated

    def _resend_if(self, wanted: bool, now: float) -> None:
        if wanted and self._flight and now - self._flight_sent_at >= RESEND_MIN_GAP_S:
            self._resend(now)

    def _renumber(self) -> None:
        """Takes the flight from OpenSSL's own timer, which runs on the real clock from 1 s.

        Only it can renumber an encrypted Finished, which a peer's replay window would otherwise drop: so a client of
        ours recovers when the server's last flight is lost.
        """
        assert self._ssl is not None  # noqa: S101
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error:
            return  # OpenSSL gave up after its twelfth time; our own timeout ends this
        self._flight = pack_records(self._output()) or self._flight

    def _resend(self, now: float) -> None:
        self._outgoing += self._flight
        self._flight_sent_at = now
        self._resend_at = now + self._resend_after_s
        self.resends += 1

    def _output(self) -> bytes:
        """All that OpenSSL wants to say."""
        assert self._ssl is not None  # noqa: S101
        parts: list[bytes] = []
        try:
            while not parts or len(parts[-1]) == _READ_BYTES:
                parts.append(self._ssl.bio_read(_READ_BYTES))
        except SSL.WantReadError:
            pass
        return b"".join(parts)

    def _drop(self, reason: Drop) -> None:
        self.dropped[reason] += 1

    def _fail(self, failure: str) -> None:
        self.failure = failure
        self._end("failed")

    def _end(self, state: State) -> None:
        """Says what there is to say (an alert of OpenSSL's, close_notify) and frees OpenSSL's state."""
        assert self._ssl is not None  # noqa: S101
        if self.state == "connected":
            try:
                self._ssl.shutdown()
            except SSL.Error:
                self.failure = self.failure or "no close_notify"
        self._outgoing += pack_records(self._output())
        self.state = state
        self._ssl = None
        self._resend_at = self._fails_at = None
        self._flight = []
        self._seen.clear()


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own words; the lists of pyOpenSSL's error are (library, function, reason)."""
    details = error.args[0] if error.args else ""
    if isinstance(details, list):
        return "; ".join(entry[2] for entry in details) or "TLS error"
    return str(details) or type(error).__name__
