"""A viewer that offers (WHEP) in rooms whose clock the test turns."""

from typing import Any

import pytest

from sfu.codecs import Kind
from sfu.publish_answer import Source
from sfu.router import MediaRoom
from sfu.rtcp import PictureLoss
from sfu.sdp import SdpError, parse
from sfu.sdp_fragment import IceFragment, parse_fragment
from sfu.subscription import SlotView
from sfu.viewing import ViewConnection
from tests.sfu.clients import Client, made
from tests.sfu.peers import EndpointDouble, connect, path_of, recorded

MICROPHONE, CAMERA = SlotView("audio0", "ada", Source.MICROPHONE), SlotView("video1", "ada", Source.CAMERA)
SCREEN = {"0": Source.SCREEN_AUDIO, "1": Source.SCREEN}


def watching(room: MediaRoom, *, name: str = "gstreamer_whep", pinned: str | None = None) -> Client:
    viewer = Client(room, "viewer")
    viewer.peer.view(recorded(name), pinned=pinned)
    return viewer


def connection_of(viewer: Client) -> ViewConnection:
    connection = viewer.peer.subscribed
    assert isinstance(connection, ViewConnection)
    return connection


def speak(room: MediaRoom, endpoint: EndpointDouble, who: str | None) -> None:
    """As `sfu.speakers` would after a while."""
    room._speakers.current = who
    for peer in list(room.peers.values()):
        peer.speaker_changed()


def test_the_answer_is_sendonly_and_media_flows_once_connected() -> None:
    endpoint, room, (ada,) = made("ada")
    ada.publish()
    viewer = Client(room, "viewer")
    described = parse(viewer.peer.view(recorded("gstreamer_whep")))
    assert [media.direction for media in described.media] == ["sendonly", "sendonly"]
    assert viewer.peer.slots == [MICROPHONE, CAMERA]
    assert not viewer.offers
    assert ada.peer.published is not None
    connect(ada.peer.published.transport, endpoint.clock)
    ada.peer.published.unknown_ssrc(7, 96, "1", None, None, endpoint.clock)
    slots = {slot.mid: slot for slot in path_of(connection_of(viewer)).slots}
    assert slots["video1"].stream is None
    connect(connection_of(viewer).transport, endpoint.clock)
    assert slots["video1"].stream is not None
    assert slots["video1"].stream.ssrc == 7


def test_the_speaker_takes_the_lines_and_who_spoke_last_keeps_them() -> None:
    endpoint, room, (ada, bob) = made("ada", "bob")
    ada.publish()
    bob.publish()
    viewer = watching(room)
    assert viewer.peer.slots == [MICROPHONE, CAMERA]
    speak(room, endpoint, "bob")
    assert [slot.peer_id for slot in viewer.slots] == ["bob", "bob"]
    speak(room, endpoint, None)
    assert [slot.peer_id for slot in viewer.peer.slots] == ["bob", "bob"]
    bob.peer.leave()
    assert viewer.slots == [MICROPHONE, CAMERA]


def test_a_screen_is_shown_while_the_speaker_is_heard() -> None:
    endpoint, room, (ada, bob) = made("ada", "bob")
    ada.publish()
    bob.publish(sources=SCREEN)
    viewer = watching(room)
    assert viewer.peer.slots == [
        SlotView("audio0", "bob", Source.SCREEN_AUDIO),
        SlotView("video1", "bob", Source.SCREEN),
    ]
    speak(room, endpoint, "ada")
    assert viewer.slots == [MICROPHONE, SlotView("video1", "bob", Source.SCREEN)]


def test_who_is_muted_comes_last() -> None:
    _, room, (ada, bob) = made("ada", "bob")
    ada.publish()
    bob.publish()
    viewer = watching(room)
    ada.peer.set_muted(Source.MICROPHONE, True)
    assert viewer.slots == [SlotView("audio0", "bob", Source.MICROPHONE), CAMERA]


def test_what_a_viewer_cannot_decode_comes_last() -> None:
    """A player of H.264 alone, among those who send VP8 and H.264."""
    endpoint, room, (ada, bob) = made("ada", "bob")
    ada.publish()
    bob.publish()
    for client, payload_type, kind in ((ada, 96, Kind.VP8), (bob, 108, Kind.H264)):
        assert client.peer.published is not None
        client.peer.published.unknown_ssrc(7, payload_type, "1", None, None, endpoint.clock)
        stream: Any = path_of(client.peer.published).streams[7]
        stream.kind, stream.packets = kind, 1
    viewer = Client(room, "viewer")
    viewer.peer.view(recorded("gstreamer_whep").replace("VP8", "VP7"))
    assert viewer.peer.slots == [MICROPHONE, SlotView("video1", "bob", Source.CAMERA)]


def test_a_pinned_participant_stays_whoever_speaks() -> None:
    endpoint, room, (ada, bob) = made("ada", "bob")
    bob.publish()
    viewer = watching(room, pinned="ada")
    assert [slot.peer_id for slot in viewer.peer.slots] == ["bob", "bob"]
    ada.publish()
    speak(room, endpoint, "bob")
    assert viewer.slots == [MICROPHONE, CAMERA]


def test_more_lines_carry_more_participants_and_nobody_moves() -> None:
    endpoint, room, (ada, bob) = made("ada", "bob")
    text = recorded("gstreamer_whep")
    video = "m=" + next(part for part in text.split("m=") if part.startswith("video"))
    text = text.replace("BUNDLE audio0 video1", "BUNDLE audio0 video1 video2") + video.replace("video1", "video2")
    viewer = Client(room, "viewer")
    viewer.peer.view(text)
    ada.publish()
    bob.publish()
    expected = [MICROPHONE, CAMERA, SlotView("video2", "bob", Source.CAMERA)]
    assert viewer.slots == expected
    speak(room, endpoint, "bob")
    assert viewer.slots == [SlotView("audio0", "bob", Source.MICROPHONE), *expected[1:]]


def test_a_viewer_sends_nothing_to_others() -> None:
    _, room, (ada,) = made("ada")
    ada.subscribe()
    watching(room)
    assert ada.slots == []


def test_keyframes_that_a_viewer_asks_for_are_asked_of_the_publisher() -> None:
    endpoint, room, (ada,) = made("ada")
    ada.publish()
    viewer = watching(room)
    assert ada.peer.published is not None
    connect(ada.peer.published.transport, endpoint.clock)
    ada.peer.published.unknown_ssrc(7, 96, "1", None, None, endpoint.clock)
    connection = connection_of(viewer)
    connect(connection.transport, endpoint.clock)
    ssrc = next(line.ssrc for line, _ in connection.agreement.sent if not line.audio)
    connection.rtcp_received([PictureLoss(1, ssrc)], endpoint.clock, endpoint.clock)
    endpoint.advance(0.1)
    assert any(isinstance(packet, PictureLoss) for packet in path_of(ada.peer.published).sent_rtcp)


def test_an_offer_that_cannot_be_used_leaves_nothing() -> None:
    endpoint, room, _ = made()
    viewer = Client(room, "viewer")
    watched = len(endpoint.timed)
    with pytest.raises(SdpError):
        viewer.peer.view("nonsense")
    assert viewer.peer.subscribed is None
    assert len(endpoint.timed) == watched
    assert not endpoint.registry


# ICE of clients without a signalling channel (PATCH).


@pytest.mark.parametrize("role", ["publish", "view"])
def test_a_restart_gives_new_credentials_under_which_the_old_connection_goes_on(role: str) -> None:
    endpoint, _, (ada,) = made("ada")
    if role == "publish":
        ada.publish("gstreamer_whip", {"audio1": Source.MICROPHONE, "video0": Source.CAMERA})
    else:
        ada.peer.view(recorded("gstreamer_whep"))
    connection: Any = ada.peer.published or ada.peer.subscribed
    connect(connection.transport, endpoint.clock)
    before = connection.transport.credentials
    text = ada.peer.trickle(IceFragment("fresh", "x" * 22, 0))
    assert text is not None
    after = parse_fragment(text)
    assert after.ufrag == connection.transport.credentials.ufrag != before.ufrag
    assert after.candidates == 1
    assert set(endpoint.registry) == {before.ufrag, after.ufrag}
    assert connection.transport.state == "connected"
    assert ada.peer.trickle(IceFragment("fresh", "x" * 22, 1)) is None


def test_candidates_of_the_present_session_are_no_restart() -> None:
    _, _, (ada,) = made("ada")
    ada.peer.view(recorded("gstreamer_whep"))
    remote = parse(recorded("gstreamer_whep")).media[0].transport
    assert ada.peer.trickle(IceFragment(remote.ufrag, remote.password, 3)) is None
    assert ada.peer.trickle(IceFragment("", "", 1)) is None


def test_without_a_connection_there_is_nothing_to_trickle_to() -> None:
    _, _, (ada,) = made("ada")
    with pytest.raises(SdpError):
        ada.peer.trickle(IceFragment("", "", 1))
    ada.subscribe()
    with pytest.raises(SdpError):
        ada.peer.trickle(IceFragment("", "", 1))


def test_candidates_for_a_client_that_tries_one_only() -> None:
    _, room, _ = made()
    viewer = Client(room, "viewer")
    viewer.peer._extra_addresses = ("2001:db8::1", "203.0.113.9", "198.51.100.1")
    for client, first in (("198.51.100.77", "203.0.113.9"), ("10.0.0.7", "203.0.113.9")):
        viewer.peer.client_address = client
        assert viewer.peer._addresses[0] == first
        assert viewer.peer._addresses[-1] == "2001:db8::1"
