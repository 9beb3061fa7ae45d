"""Publishers that speak WHIP, from their offer to their media; offers/README.md says where the offers come from."""

from __future__ import annotations

from typing import Any

import pytest

from sfu.publish_answer import Source
from sfu.transport import State
from tests.sfu.clients import Client, made
from tests.sfu.peers import OTHER_CONTEXT, check, shake


def connection_of(client: Client) -> Any:
    assert client.peer.published is not None
    return client.peer.published


def test_ffmpeg_is_the_dtls_server_and_sends_bare_checks() -> None:
    """Its first versions: `setup:passive`, no candidates, checks without PRIORITY and ICE-CONTROLLING."""
    endpoint, _, (ffmpeg,) = made("ffmpeg")
    ffmpeg.publish("ffmpeg_whip")
    transport = connection_of(ffmpeg).transport
    assert len(check(transport, endpoint.clock).sent) == 1
    shake(transport, OTHER_CONTEXT.server(), endpoint.clock)
    assert transport.state is State.CONNECTED


@pytest.mark.parametrize(
    ("name", "sources", "tracks"),
    [
        (
            "ffmpeg_whip",
            {"0": Source.MICROPHONE, "1": Source.CAMERA},
            {(2913018375, 111): Source.MICROPHONE, (3155184631, 106): Source.CAMERA},
        ),
        (
            "obs_whip",
            {"0": Source.MICROPHONE, "1": Source.CAMERA},
            {(2045634010, 111): Source.MICROPHONE, (2045634011, 96): Source.CAMERA},
        ),
        (
            "gstreamer_whip",
            {"audio1": Source.MICROPHONE, "video0": Source.CAMERA},
            {(927108845, 111): Source.MICROPHONE, (1251064706, 96): Source.CAMERA},
        ),
    ],
)
def test_streams_without_header_extensions_are_known_by_their_ssrcs(
    name: str, sources: dict[str, Source], tracks: dict[tuple[int, int], Source]
) -> None:
    endpoint, _, (client,) = made("client")
    client.publish(name, sources)
    for (ssrc, payload_type), source in tracks.items():
        connection = connection_of(client)
        assert connection.unknown_ssrc(ssrc, payload_type, None, None, None, endpoint.clock)
        publication = next(each for each in connection.publications.values() if each.source is source)
        assert [layer.stream.ssrc for layer in publication.layers.values()] == [ssrc]
