"""DTLS with independent peers: aiortc in both roles, and openssl."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiortc
import pytest
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsParameters, RTCDtlsTransport

from tests.wire.dtls_peers import openssl_peer, pem_pair
from wire.dtls import DtlsContext

CONTEXT = DtlsContext()
PEER = DtlsContext()


class DuckIce:
    """What aiortc's DTLS wants of an ICE transport."""

    role = "controlling"

    def __init__(self, outgoing: Callable[[bytes], None]) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._outgoing = outgoing

    async def _recv(self) -> bytes:
        return await self.incoming.get()

    async def _send(self, data: bytes) -> None:
        self._outgoing(data)


@pytest.mark.parametrize("role", ["server", "client"])
async def test_aiortc_connects_to_us_in_either_role(role: str) -> None:
    loop = asyncio.get_running_loop()
    ours = CONTEXT.server() if role == "server" else CONTEXT.client()

    def flush() -> None:
        for datagram in ours.datagrams_to_send():
            ice.incoming.put_nowait(datagram)

    def receive(data: bytes) -> None:
        ours.receive_datagram(data, loop.time())
        flush()

    ice = DuckIce(receive)
    certificate = RTCCertificate.generateCertificate()
    theirs = RTCDtlsTransport(ice, [certificate])  # type: ignore[arg-type]
    theirs._set_role("client" if role == "server" else "server")
    algorithm, value = CONTEXT.fingerprint.split(" ")
    fingerprint = aiortc.RTCDtlsFingerprint(algorithm=algorithm, value=value)
    ours.start(loop.time())
    flush()
    await asyncio.wait_for(theirs.start(RTCDtlsParameters(fingerprints=[fingerprint])), 10)
    assert (ours.state, theirs.state) == ("connected", "connected")
    expected = next(each.value for each in certificate.getFingerprints() if each.algorithm == "sha-256")
    assert ours.peer_fingerprint("sha-256") == expected
    await theirs.stop()


async def test_openssl_s_client_agrees_on_srtp_and_is_heard(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    (tmp_path / "peer.pem").write_bytes(pem_pair())
    server = CONTEXT.server()
    profiles = "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM"
    async with openssl_peer("-use_srtp", profiles, "-cert", str(tmp_path / "peer.pem")) as (endpoint, transport):
        heard: list[bytes] = []
        while not heard:
            data, address = await endpoint.receive()
            server.receive_datagram(data, loop.time())
            heard += server.application_data()
            for datagram in server.datagrams_to_send():
                transport.sendto(datagram, address)
        assert heard == [b"hello\n"]
        assert server.srtp_keys().profile == "SRTP_PROFILE_AEAD_AES_256_GCM"
        assert server.peer_fingerprint("sha-256")
        server.close()
        for datagram in server.datagrams_to_send():
            transport.sendto(datagram, address)
