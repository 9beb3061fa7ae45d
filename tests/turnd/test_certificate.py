import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from turnd.certificate import CERTIFICATE_FILE, RENEW_SECONDS, VALID_SECONDS, CertificateError, TlsCertificate, check
from turnd.state import StateDirectory, StateError

EPOCH = 1_800_000_000.0


def certificate_in(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def openssl_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate and key made by another tool."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 9 -subj /CN={name}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return certificate, key


def presented_name(context: ssl.SSLContext, alpn: list[str] | None = None) -> tuple[str, str | None]:
    """The subject a client sees in a handshake in memory, and the ALPN name agreed on."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    if alpn:
        client_context.set_alpn_protocols(alpn)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = client.getpeercert(binary_form=True)
    assert der is not None
    subject = x509.load_der_x509_certificate(der).subject
    return str(subject.rfc4514_string()), client.selected_alpn_protocol()


def test_a_self_signed_certificate_covers_every_name_and_address(tmp_path: Path) -> None:
    certificate = TlsCertificate(None, None, StateDirectory(tmp_path))
    assert certificate.refresh(["192.168.1.10", "2001:db8::1"], EPOCH)
    made = certificate_in(tmp_path / CERTIFICATE_FILE)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", "::1", "192.168.1.10", "2001:db8::1"} <= addresses
    assert certificate.expires_at == EPOCH + VALID_SECONDS
    assert (tmp_path / CERTIFICATE_FILE).stat().st_mode & 0o777 == 0o600


def test_it_is_kept_until_shortly_before_its_end(tmp_path: Path) -> None:
    TlsCertificate(None, None, StateDirectory(tmp_path)).refresh([], EPOCH)
    first = certificate_in(tmp_path / CERTIFICATE_FILE)
    again = TlsCertificate(None, None, StateDirectory(tmp_path))
    again.refresh([], EPOCH + VALID_SECONDS - RENEW_SECONDS - 1)
    assert certificate_in(tmp_path / CERTIFICATE_FILE) == first
    assert again.refresh([], EPOCH + VALID_SECONDS - RENEW_SECONDS)
    renewed = certificate_in(tmp_path / CERTIFICATE_FILE)
    assert renewed != first
    assert renewed.public_key() == first.public_key()


def test_a_new_address_gets_a_new_certificate(tmp_path: Path) -> None:
    certificate = TlsCertificate(None, None, StateDirectory(tmp_path))
    certificate.refresh(["192.168.1.10"], EPOCH)
    assert not certificate.refresh(["192.168.1.10"], EPOCH)
    assert certificate.refresh(["192.168.7.7"], EPOCH)


def test_a_damaged_own_certificate_is_reported(tmp_path: Path) -> None:
    (tmp_path / CERTIFICATE_FILE).write_text("half a fi")
    with pytest.raises(StateError, match=r"certificate.pem: damaged"):
        TlsCertificate(None, None, StateDirectory(tmp_path)).refresh([], EPOCH)


def test_another_certificate_is_presented_after_a_live_reload(tmp_path: Path) -> None:
    certificate = TlsCertificate(*openssl_pair(tmp_path, "first"), StateDirectory(tmp_path))
    certificate.refresh([], EPOCH)
    context = certificate.context
    assert presented_name(context)[0] == "CN=first"
    pem = certificate.pem
    assert not certificate.refresh([], EPOCH)
    assert certificate.pem is pem
    second = openssl_pair(tmp_path, "second")
    certificate.use(*second)
    assert certificate.refresh([], EPOCH)
    assert certificate.pem == (second[0].read_bytes(), second[1].read_bytes())
    assert certificate.context is context
    assert presented_name(context)[0] == "CN=second"


def test_files_changed_in_place_are_noticed(tmp_path: Path) -> None:
    certificate = TlsCertificate(*openssl_pair(tmp_path, "name"), StateDirectory(tmp_path))
    assert certificate.refresh([], EPOCH)
    assert not certificate.refresh([], EPOCH)
    openssl_pair(tmp_path, "name")
    assert certificate.refresh([], EPOCH)


def test_a_bad_reload_leaves_the_old_certificate_in_use(tmp_path: Path) -> None:
    first = openssl_pair(tmp_path, "first")
    certificate = TlsCertificate(*first, StateDirectory(tmp_path))
    certificate.refresh([], EPOCH)
    certificate.use(openssl_pair(tmp_path, "second")[0], first[1])
    with pytest.raises(CertificateError, match="does not belong to the key"):
        certificate.refresh([], EPOCH)
    assert presented_name(certificate.context)[0] == "CN=first"


def test_alpn_names_http_and_turn(tmp_path: Path) -> None:
    certificate = TlsCertificate(None, None, StateDirectory(tmp_path))
    certificate.refresh([], EPOCH)
    assert presented_name(certificate.context, ["h2", "http/1.1"])[1] == "http/1.1"
    assert presented_name(certificate.context, ["stun.turn"])[1] == "stun.turn"


def test_an_encrypted_key_is_refused_without_asking(tmp_path: Path) -> None:
    certificate, key = openssl_pair(tmp_path, "name")
    locked = tmp_path / "locked.key"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:x", "-in", str(key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(CertificateError, match="without a password"):
        check(certificate, locked)


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: str) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text(content)
    with pytest.raises(CertificateError):
        check(bad, openssl_pair(tmp_path, "good")[1])
