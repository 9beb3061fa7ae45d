"""The TLS certificate: the configured one, or a self-signed one kept in the state directory; one live SSLContext.

Loading anew changes the context in place, so listeners and connections stay; new handshakes get the new certificate.
ALPN names: RFC 7301, RFC 7443 (stun.turn).
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from turnd.state import StateDirectory
from wire.measure import Measure

CERTIFICATE_FILE = "certificate.pem"
VALID_SECONDS = 365 * 86400
RENEW_SECONDS = 30 * 86400
BACKDATED_SECONDS = 86400  # clocks of visitors and of machines just switched on
ALPN_HTTP = "http/1.1"
ALPN_TURN = "stun.turn"


class CertificateError(Exception):
    """The certificate or its key cannot be used; the text says which file and why."""


class TlsCertificate:
    """Owns the SSLContext of all TLS listeners and what is loaded into it."""

    def __init__(self, certificate: Path | None, private_key: Path | None, state: StateDirectory) -> None:
        self._certificate = certificate
        self._private_key = private_key
        self._state = state
        self._loaded: object = None
        self.expires_at = 0.0
        """Seconds since 1970."""
        self.context = _new_context()
        self.pem: tuple[bytes, bytes] | None = None
        """Chain and key of what is loaded, for DTLS; another object when another certificate was loaded."""

    @property
    def self_signed(self) -> bool:
        """Whether the certificate is turnd's own."""
        return self._certificate is None

    def use(self, certificate: Path | None, private_key: Path | None) -> None:
        """Other files from the next `refresh` on; None: self-signed."""
        self._certificate, self._private_key = certificate, private_key

    def refresh(self, addresses: Collection[str], epoch: float) -> bool:
        """Loads the certificate if it is not what is loaded, making or renewing a self-signed one first.

        Returns whether something was loaded. CertificateError or StateError leave the old one in use.
        """
        if self._certificate is None or self._private_key is None:
            chain = key = self._own_certificate(addresses, epoch)
        else:
            chain, key = self._certificate, self._private_key
        try:
            state = [
                (path, item.st_mtime_ns, item.st_size, item.st_ino) for path in (chain, key) for item in [path.stat()]
            ]
        except OSError as error:
            raise CertificateError(f"{error.filename}: cannot be read: {error.strerror}") from None
        if state == self._loaded:
            return False
        self.expires_at = check(chain, key)
        self.context.load_cert_chain(chain, key)
        self.pem = chain.read_bytes(), key.read_bytes()
        self._loaded = state
        return True

    def measures(self) -> Iterator[Measure]:
        """The expiry."""
        yield Measure("certificate_expiry_timestamp_seconds", {}, self.expires_at)

    def _own_certificate(self, addresses: Collection[str], epoch: float) -> Path:
        data = self._state.read(CERTIFICATE_FILE)
        key = None
        if data is not None:
            try:
                key = serialization.load_pem_private_key(data, None)
                certificate = x509.load_pem_x509_certificate(data)
            except (ValueError, TypeError):
                raise self._state.damaged(CERTIFICATE_FILE, "expected a private key and a certificate in PEM") from None
            if _expiry(certificate) - epoch > RENEW_SECONDS and _covers(certificate, addresses):
                return self._state.path / CERTIFICATE_FILE
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            key = ec.generate_private_key(ec.SECP256R1())
        self._state.prepare()
        self._state.replace(CERTIFICATE_FILE, _self_signed(key, addresses, epoch))
        return self._state.path / CERTIFICATE_FILE


def check(certificate: Path, private_key: Path) -> float:
    """Whether the two belong together and TLS takes them; returns the expiry in seconds since 1970."""
    try:
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trial.load_cert_chain(certificate, private_key, password=_no_password)
        return _expiry(x509.load_pem_x509_certificate(certificate.read_bytes()))
    except ssl.SSLError as error:
        why = {
            "KEY_VALUES_MISMATCH": f"does not belong to the key {private_key}",
            "PEM_LIB": f"this or {private_key} is not PEM",
        }.get(error.reason or "", f"or {private_key} cannot be used: {error.reason or error}")
        raise CertificateError(f"{certificate}: {why}") from None
    except OSError as error:
        raise CertificateError(f"{error.filename or certificate}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CertificateError(f"{certificate} or {private_key} cannot be used: {error}") from None


def _no_password() -> str:
    raise ValueError("the key is encrypted; turnd takes keys without a password")


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN_HTTP, ALPN_TURN])
    return context


def _expiry(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def _host_names() -> list[str]:
    """`localhost` and this machine's name, as far as it is a name that a certificate can hold."""
    name = socket.gethostname().rstrip(".").lower()
    usable = name.isascii() and 0 < len(name) <= 253 and name.replace("-", "").replace(".", "").isalnum()
    return list(
        dict.fromkeys(
            ["localhost", *([name, f"{name}.local"] if usable and "." not in name else [name] if usable else [])]
        )
    )


def _ips(addresses: Iterable[str]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    every = {ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", *addresses)}
    return sorted(every, key=lambda ip: (ip.version, int(ip)))


def _covers(certificate: x509.Certificate, addresses: Collection[str]) -> bool:
    """Whether visitors of all names and IPv4 addresses are served; IPv6 addresses change too often to count."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    covered = set(names.get_values_for_type(x509.IPAddress))
    wanted = [ip for ip in _ips(addresses) if ip.version == 4]
    return covered.issuperset(wanted) and set(names.get_values_for_type(x509.DNSName)).issuperset(_host_names())


def _self_signed(key: ec.EllipticCurvePrivateKey, addresses: Collection[str], epoch: float) -> bytes:
    """Private key and certificate as PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "turnd")])
    alternatives = [*map(x509.DNSName, _host_names()), *map(x509.IPAddress, _ips(addresses))]
    at = datetime.datetime.fromtimestamp
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(os.urandom(16)) >> 1)
        .not_valid_before(at(epoch - BACKDATED_SECONDS, datetime.UTC))
        .not_valid_after(at(epoch + VALID_SECONDS, datetime.UTC))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(encoding)
