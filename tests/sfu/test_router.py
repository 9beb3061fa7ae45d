from typing import Any

import pytest

from sfu.allocation import UNKNOWN_SECONDS
from sfu.codecs import Kind
from sfu.demand import REST_SECONDS
from sfu.forward import LayerCount
from sfu.publish_answer import Source
from sfu.router import (
    MAX_PARTICIPANTS,
    MAX_PEERS,
    PEERS_A_TURN,
    TRACKS_A_TURN,
    Limit,
    MediaFullError,
    MediaRoom,
    RoomSettings,
    Tile,
)
from sfu.sdp import SdpError, parse
from sfu.speakers import MAX_TALKERS, OPEN_MICROPHONES
from sfu.subscription import CHUNK_PLACES, MAX_PLACES
from tests.sfu.clients import BOTH, SIZES, Client, carried, made
from tests.sfu.peers import CONTEXT, EndpointDouble, path_of


def seen(client: Client) -> set[tuple[str, str]]:
    return {(view.peer_id, view.source.value) for view in client.slots}


def test_everybody_receives_everybody_else_and_never_themselves() -> None:
    _, _, clients = made("ann", "bob", "eve")
    for client in clients:
        client.subscribe()
        client.publish()
    ann, bob, _ = clients
    assert seen(ann) == {("bob", "microphone"), ("bob", "camera"), ("eve", "microphone"), ("eve", "camera")}
    assert not any(view.peer_id == "bob" for view in bob.slots)


def test_a_late_subscriber_sees_who_is_there() -> None:
    _, _, (ann, bob) = made("ann", "bob")
    ann.publish()
    bob.subscribe()
    assert seen(bob) == {("ann", "microphone"), ("ann", "camera")}


def test_rooms_do_not_hear_each_other() -> None:
    endpoint, _, (ann,) = made("ann")
    bob = Client(MediaRoom(endpoint), "bob")
    bob.subscribe()
    ann.publish()
    assert bob.slots == []


def test_streams_reach_the_slots() -> None:
    endpoint, _, (ann, bob) = made("ann", "bob")
    ann.publish()
    bob.subscribe()
    assert ann.peer.published is not None
    ann.peer.published.unknown_ssrc(11, 96, "1", None, None, 100.0)
    endpoint.advance(0.02)
    assert [slot.mid for slot in path_of(bob.peer.subscribed).slots if slot.stream is not None] == ["v0"]


def test_a_leaver_frees_the_slot_for_the_next_without_sdp() -> None:
    _, room, (ann, bob) = made("ann", "bob")
    ann.publish()
    bob.subscribe()
    ann.peer.leave()
    ann.peer.leave()
    assert bob.slots == []
    eve = Client(room, "eve")
    eve.publish()
    assert [view.mid for view in bob.slots] == ["a0", "v0"]
    assert len(bob.offers) == 1


def test_more_people_bring_one_more_offer() -> None:
    _, room, (bob,) = made("bob")
    bob.subscribe()
    for number in range(CHUNK_PLACES + 2):
        Client(room, f"p{number}").publish()
    assert [generation for _, generation, _ in bob.offers] == [1, 2]
    assert [fresh for *_, fresh in bob.offers] == [True, False]
    bob.answer()
    assert len(bob.slots) == 2 * (CHUNK_PLACES + 2)
    assert len(bob.offers) == 2


def test_an_old_answer_is_ignored() -> None:
    _, _, (bob,) = made("bob")
    bob.peer.subscribe()
    bob.peer.subscribe()
    bob.peer.answer("nonsense", bob.offers[0][1])
    assert bob.peer.subscribed is not None
    assert bob.peer.subscribed.transport.remote is None
    bob.answer()
    assert bob.peer.subscribed.transport.remote is not None


def test_a_wrong_answer_is_refused_and_the_right_one_still_taken() -> None:
    _, _, (bob,) = made("bob")
    bob.peer.subscribe()
    with pytest.raises(SdpError):
        bob.peer.answer("nonsense", 1)
    bob.answer()


def test_fresh_makes_another_connection_and_restart_only_other_credentials() -> None:
    _, _, (ann, bob) = made("ann", "bob")
    ann.publish()
    bob.subscribe()
    before = bob.peer.subscribed
    bob.peer.subscribe(restart=True)
    assert bob.peer.subscribed is before
    first, second = (parse(sdp).media[0].transport for sdp, *_ in bob.offers)
    assert first.ufrag != second.ufrag
    bob.peer.subscribe(fresh=True)
    assert bob.peer.subscribed is not before
    assert bob.offers[-1][2]
    assert path_of(before).closed
    assert len(bob.slots) == 2


def test_a_new_publish_connection_replaces_the_old() -> None:
    endpoint, _, (ann, bob) = made("ann", "bob")
    bob.subscribe()
    ann.publish()
    before = ann.peer.published
    ann.publish(context=CONTEXT)
    assert ann.peer.published is not before
    assert path_of(before).closed
    assert len(bob.slots) == 2
    assert before not in endpoint.timed


def test_a_refused_offer_leaves_what_was_agreed() -> None:
    _, _, (ann, bob) = made("ann", "bob")
    bob.subscribe()
    ann.publish()
    with pytest.raises(SdpError):
        ann.peer.publish("v=0", BOTH)
    with pytest.raises(SdpError):
        ann.publish(sources={"0": Source.CAMERA}, context=CONTEXT)
    assert len(bob.slots) == 2


def test_who_is_not_on_the_stage_publishes_nothing() -> None:
    endpoint, _, (ann, bob) = made("ann", "bob")
    bob.subscribe()
    ann.subscribe()
    ann.publish()
    before, receiving = ann.peer.published, ann.peer.subscribed
    ann.peer.set_stage(False)
    assert path_of(before).closed
    assert before not in endpoint.timed
    assert bob.slots == []
    with pytest.raises(SdpError, match="stage"):
        ann.publish()
    ann.peer.set_stage(True)
    ann.publish()
    assert len(bob.slots) == 2
    assert ann.peer.subscribed is receiving


def test_muting_before_publishing_holds() -> None:
    _, _, (ann,) = made("ann")
    ann.peer.set_muted(Source.CAMERA, True)
    ann.publish()
    assert ann.peer.published is not None
    ann.peer.published.unknown_ssrc(11, 96, "1", None, None, 100.0)
    assert not path_of(ann.peer.published).streams[11].active


def test_unmuting_takes_a_place_where_they_are_too_few() -> None:
    _, room, (bob,) = made("bob")
    bob.subscribe()
    crowd = [Client(room, f"p{number}") for number in range(MAX_PLACES + 1)]
    for each in (crowd[3], crowd[-1]):
        each.peer.set_muted(Source.MICROPHONE, True)
        each.peer.set_muted(Source.CAMERA, True)
    for each in crowd:
        each.publish()
    bob.answer()
    assert ("p3", "camera") in seen(bob)
    crowd[-1].peer.set_muted(Source.MICROPHONE, False)
    assert (f"p{MAX_PLACES}", "microphone") in seen(bob)
    assert ("p3", "camera") not in seen(bob)


def speak(client: Client, level: int) -> None:
    assert client.peer.published is not None
    path_of(client.peer.published).streams[13].level = (5, level)


def test_the_speaker_is_told_to_all_and_leaves_with_the_participant() -> None:
    endpoint, _, (ann, bob) = made("ann", "bob")
    ann.publish()
    assert ann.peer.published is not None
    ann.peer.published.unknown_ssrc(13, 111, "0", None, None, 100.0)
    for _ in range(12):
        speak(ann, 20)
        endpoint.advance(0.1)
    assert ann.speakers == bob.speakers == ["ann"]
    ann.peer.leave()
    assert bob.speakers == ["ann", None]


def test_a_muted_microphone_does_not_speak() -> None:
    endpoint, _, (ann, _) = made("ann", "bob")
    ann.publish()
    assert ann.peer.published is not None
    ann.peer.published.unknown_ssrc(13, 111, "0", None, None, 100.0)
    ann.peer.set_muted(Source.MICROPHONE, True)
    for _ in range(12):
        speak(ann, 20)
        endpoint.advance(0.1)
    assert ann.speakers == []


def test_lost_connections_are_reported_by_name() -> None:
    endpoint, _, (ann,) = made("ann")
    ann.publish()
    ann.subscribe()
    endpoint.advance(40, 1.0)
    assert sorted(ann.failed) == ["publish", "subscribe"]


def test_extra_addresses_are_announced_to_that_peer_alone() -> None:
    _, room, (ann,) = made("ann")
    ann.peer.leave()
    guest: Any = Client.__new__(Client)
    guest.offers, guest.slots = [], []
    peer = room.join("guest", guest, extra_addresses=["203.0.113.5"])
    peer.subscribe()
    assert "203.0.113.5" in guest.offers[0][0]


def test_a_room_is_bounded() -> None:
    _, room, _ = made(*(f"p{number}" for number in range(MAX_PEERS)))
    with pytest.raises(MediaFullError, match="at most"):
        Client(room, "more")


def test_participants_of_all_rooms_are_bounded_when_they_join() -> None:
    endpoint, room, (ann,) = made("ann")
    endpoint.peers.update(range(MAX_PARTICIPANTS - 1))
    with pytest.raises(MediaFullError, match="server is full"):
        Client(MediaRoom(endpoint), "bob")
    ann.subscribe()
    ann.publish()
    ann.peer.leave()
    Client(room, "bob")


def test_a_participant_holds_two_connections_however_often_they_are_made_anew() -> None:
    endpoint, _, (ann,) = made("ann")
    for _ in range(3):
        ann.publish()
        ann.publish(context=CONTEXT)
        ann.peer.subscribe(fresh=True)
        ann.peer.subscribe(restart=True)
    assert len(set(map(id, endpoint.registry.values()))) == 2


def test_a_name_is_taken_once() -> None:
    _, room, _ = made("ann")
    with pytest.raises(ValueError, match="ann"):
        Client(room, "ann")


def test_closing_a_room_gives_everything_back() -> None:
    endpoint, room, (ann, bob) = made("ann", "bob")
    for client in (ann, bob):
        client.publish()
        client.subscribe()
    room.close()
    assert endpoint.timed == []
    assert endpoint.registry == {}
    with pytest.raises(SdpError):
        ann.publish()


def bind(client: Client, **ssrcs: int) -> None:
    """The camera's layers by rid; all of them send from now on."""
    connection = client.peer.published
    assert connection is not None
    endpoint: Any = client.room.endpoint
    for rid, ssrc in ssrcs.items():
        assert connection.unknown_ssrc(ssrc, 96, "1", rid, None, endpoint.clock)
        stream = path_of(connection).streams[ssrc]
        stream.width, stream.height = SIZES[rid]
        stream.last_packet_at = endpoint.clock + 1e6
    endpoint.advance(UNKNOWN_SECONDS + 0.2)


def test_each_subscriber_gets_the_layer_of_its_own_tile() -> None:
    endpoint, _, (ann, bob, eve, joe) = made("ann", "bob", "eve", "joe")
    ann.publish("chromium_simulcast")
    for client in (bob, eve, joe):
        client.subscribe()
    bob.peer.set_view([Tile("ann", Source.CAMERA, 300, 150)])
    eve.peer.set_view([Tile("ann", Source.CAMERA, 600, 300)])
    bind(ann, q=11, h=12, f=13)
    assert (carried(bob), carried(eve), carried(joe)) == ({"v0": 11}, {"v0": 12}, {"v0": 13})
    bob.peer.set_view([])
    eve.peer.set_view(None)
    assert (carried(bob), carried(eve)) == ({}, {"v0": 13})
    endpoint.advance(1.1)
    assert [stream.limit for stream in bob.received[-1]] == [Limit.HIDDEN]
    assert eve.received[-1][0][:3] == ("v0", 1280, 720)


def test_a_view_holds_for_connections_to_come() -> None:
    _, _, (ann, bob) = made("ann", "bob")
    ann.publish("chromium_simulcast")
    bob.peer.set_view([Tile("ann", Source.CAMERA, 300, 150)])
    bob.subscribe()
    bind(ann, q=11, h=12, f=13)
    assert carried(bob) == {"v0": 11}


def test_the_publisher_is_told_what_is_watched() -> None:
    endpoint, _, (ann, bob) = made("ann", "bob")
    ann.publish("chromium_simulcast")
    bob.subscribe()
    bob.peer.set_view([Tile("ann", Source.CAMERA, 300, 150)])
    bind(ann, q=11, h=12, f=13)
    (camera,) = ann.wanted[-1]
    assert [(layer.rid, layer.active) for layer in camera.layers] == [("q", True), ("h", False), ("f", False)]
    bob.peer.set_view([Tile("ann", Source.CAMERA, 600, 300)])
    endpoint.advance(REST_SECONDS + 0.3)
    assert [layer.active for layer in ann.wanted[-1][0].layers] == [True, True, False]
    bob.peer.leave()
    endpoint.advance(2.5)
    assert [layer.active for layer in ann.wanted[-1][0].layers] == [False, False, False]


def test_the_publisher_is_told_how_many_spatial_layers_are_watched() -> None:
    endpoint, _, (ann, bob) = made("ann", "bob")
    ann.publish()
    bob.subscribe()
    bob.peer.set_view([Tile("ann", Source.CAMERA, 300, 150)])
    connection = ann.peer.published
    assert connection is not None
    assert connection.unknown_ssrc(11, 96, "1", None, None, endpoint.clock)
    stream = path_of(connection).streams[11]
    for step in range(1, 10):
        stream.last_packet_at, stream.packets = endpoint.clock, 30 * step
        stream.counts = [
            LayerCount(spatial, 0, 5_000 * step << spatial, 3 * step, *size)
            for spatial, size in enumerate(SIZES.values())
        ]
        endpoint.advance(0.3)
    assert [[layer.spatial for layer in camera.layers] for (camera,) in ann.wanted] == [[0]]
    bob.peer.set_view([Tile("ann", Source.CAMERA, 1280, 720)])
    endpoint.advance(0.3)
    assert [layer.spatial for layer in ann.wanted[-1][0].layers] == [None]


def test_a_room_keeps_to_its_cap() -> None:
    endpoint = EndpointDouble()
    room = MediaRoom(endpoint, RoomSettings(uplink_bps=650_000))
    ann, bob, eve = (Client(room, name) for name in ("ann", "bob", "eve"))
    ann.publish("chromium_simulcast")
    bob.subscribe()
    eve.subscribe()
    bind(ann, q=11, h=12, f=13)
    endpoint.advance(1)
    assert carried(bob) == carried(eve) == {"v0": 11}
    assert bob.received[-1][0].limit is Limit.UPLINK
    eve.peer.leave()
    endpoint.advance(3)
    bob.peer.set_view(None)
    endpoint.advance(0.3)
    assert carried(bob) == {"v0": 12}


def test_the_codec_of_a_room_is_asked_for_first() -> None:
    endpoint = EndpointDouble()
    ann = Client(MediaRoom(endpoint, RoomSettings(video=Kind.AV1)), "ann")
    answer = parse(ann.publish())
    assert answer.media[1].codecs[int(answer.media[1].formats[0])].name == "AV1"


def test_who_is_seen_takes_a_place_where_they_are_too_few() -> None:
    _, room, (bob,) = made("bob")
    bob.subscribe()
    for number in range(MAX_PLACES + 1):
        Client(room, f"p{number}").publish()
    bob.answer()
    last = f"p{MAX_PLACES}"
    assert (last, "camera") not in seen(bob)
    bob.peer.set_view([Tile(last, Source.CAMERA, 300, 150)])
    assert (last, "camera") in seen(bob)


def test_a_large_audience_learns_of_a_track_in_turns() -> None:
    endpoint, _, clients = made(*(f"p{number}" for number in range(PEERS_A_TURN + 2)))
    ann, *audience = clients
    for client in audience:
        client.peer.subscribe()
    ann.publish()
    assert sum(bool(client.peer.slots) for client in audience) == PEERS_A_TURN
    endpoint.advance(0.03)
    assert all(client.peer.slots for client in audience)


def test_a_large_meeting_learns_of_a_track_in_smaller_turns() -> None:
    endpoint, _, clients = made(*(f"p{number}" for number in range(20)))
    for client in clients:
        client.publish()
    for client in clients:
        client.peer.subscribe()
    clients[0].peer.leave()
    assert sum(len(client.peer.slots) == 36 for client in clients[1:]) == TRACKS_A_TURN // 38
    endpoint.advance(0.2)
    assert all(len(client.peer.slots) == 36 for client in clients[1:])


def test_viewers_who_go_move_nobody() -> None:
    _, _, (ann, bob, eve) = made("ann", "bob", "eve")
    ann.publish()
    bob.subscribe()
    told = bob.slots
    eve.peer.leave()
    assert bob.slots is told


def test_the_sound_of_a_few_goes_on_where_many_microphones_are_on() -> None:
    endpoint, room, clients = made(*(f"p{number}" for number in range(OPEN_MICROPHONES + 1)))
    for number, client in enumerate(clients):
        client.publish()
        assert client.peer.published is not None
        client.peer.published.unknown_ssrc(13, 111, "0", None, None, 100.0)
        assert path_of(client.peer.published).streams[13].gate is room.gate
        endpoint.advance(0.2)
        assert room.gate.limit == (MAX_TALKERS if number == OPEN_MICROPHONES else 0)
    clients[0].peer.set_muted(Source.MICROPHONE, True)
    endpoint.advance(0.2)
    assert room.gate.limit == 0
