"""What subscribers get while their paths and views change, with paths the test sets and data paths without packets."""

from __future__ import annotations

from typing import Any

import pytest

from sfu.allocation import (
    CAUTION_SECONDS,
    MAX_TRIAL_PAUSE_SECONDS,
    TRIAL_PAUSE_SECONDS,
    UNKNOWN_SECONDS,
    UP_SECONDS,
    ReceivedStream,
    coarse,
    differ,
)
from sfu.budget import UNLIMITED
from sfu.codecs import Kind
from sfu.forward import MAX_PRIORITY, LayerCount
from sfu.layers import ALL
from sfu.publish_answer import Source
from sfu.router import Limit, MediaRoom, Tile
from tests.sfu.clients import SIZES, Client, carried, made
from tests.sfu.peers import EndpointDouble, check, connect, path_of

BPS = {"q": 100_000, "h": 400_000, "f": 1_200_000}
SSRCS = {"q": 11, "h": 12, "f": 13}


class Path:
    """What the estimate of one receiver's path says."""

    def __init__(self, bps: int) -> None:
        self.estimate_bps = self.carried_bps = bps
        self.known = True
        self.congested = False
        self.wanted: list[int] = []
        self.wake_at = 0.0

    def want(self, bps: int) -> None:
        self.wanted.append(bps)

    def rtcp(self, packets: Any, now: float) -> None: ...

    def handle_timer(self, now: float) -> None:
        self.wake_at = now + 0.1


class Sending:
    """Ann's camera sends; rates are those of `BPS`, three temporal layers each."""

    def __init__(self, endpoint: EndpointDouble, client: Client, rids: str = "qhf") -> None:
        self.endpoint = endpoint
        self.connection: Any = client.peer.published
        self.streams = {}
        for rid in rids:
            assert self.connection.unknown_ssrc(SSRCS[rid], 96, "1", rid if len(rids) > 1 else None, None, 100.0)
            self.streams[rid] = path_of(self.connection).streams[SSRCS[rid]]
        self.began_at = endpoint.clock

    def run(self, seconds: float) -> None:
        end = self.endpoint.clock + seconds
        for peer in self.endpoint.peers:
            if peer.subscribed is not None:
                check(peer.subscribed.transport, self.endpoint.clock)  # consent
        while self.endpoint.clock < end - 0.01:
            self.endpoint.advance(0.09)
            passed = self.endpoint.clock - self.began_at
            for rid, stream in self.streams.items():
                octets = BPS[rid] / 8 * 0.94 * passed  # the rest is headers of packets of 1200 bytes
                stream.last_packet_at = self.endpoint.clock
                stream.packets, stream.bytes = int(octets / 1200), int(octets)
                shares = ((0.4, 7.5), (0.2, 7.5), (0.4, 15))
                stream.counts = [
                    LayerCount(0, number, int(octets * share), int(rate * passed), *SIZES[rid])
                    for number, (share, rate) in enumerate(shares)
                ]


class Scene:
    def __init__(self, offer: str = "chromium_simulcast", rids: str = "qhf") -> None:
        self.endpoint, self.room, (self.ann, self.bob, self.eve) = made("ann", "bob", "eve")
        self.ann.publish(offer)
        self.bob.subscribe()
        self.eve.subscribe()
        self.path, self.other = Path(10_000_000), Path(10_000_000)
        for client, path in ((self.bob, self.path), (self.eve, self.other)):
            connection: Any = client.peer.subscribed
            connection.downlink = path
        self.sending = Sending(self.endpoint, self.ann, rids)

    def set(self, bps: int, *, congested: bool = False) -> None:
        self.sending.run(0.1)
        self.path.estimate_bps = self.path.carried_bps = bps
        self.path.congested = congested
        connection: Any = self.bob.peer.subscribed
        connection.feedback_received(self.endpoint.clock)
        self.endpoint.advance(0.06)

    def given(self, client: Client | None = None) -> tuple[int, int]:
        """SSRC and highest temporal layer."""
        slot = path_of((client or self.bob).peer.subscribed).slots[1]
        return (slot.stream.ssrc if slot.stream is not None else 0, slot.limits[1])

    def limit(self) -> Limit:
        return self.bob.received[-1][0].limit


def test_a_narrow_path_loses_frames_first_and_pixels_then() -> None:
    scene = Scene()
    scene.sending.run(3)
    assert scene.given() == (13, ALL)
    for estimate, given in ((1_000_000, (13, 1)), (700_000, (13, 0)), (490_000, (12, ALL)), (200_000, (11, ALL))):
        scene.set(estimate)
        assert scene.given() == given
    assert scene.given(scene.eve) == (13, ALL)


def test_a_path_that_takes_nothing_gets_no_picture_and_the_smallest_stays_wanted() -> None:
    scene = Scene()
    scene.sending.run(3)
    scene.set(60_000, congested=True)
    assert scene.given() == (0, ALL)
    scene.eve.peer.leave()
    scene.sending.run(3)
    assert scene.limit() is Limit.LINK
    assert [layer.active for layer in scene.ann.wanted[-1][0].layers] == [True, False, False]


def test_better_comes_after_a_while_and_with_a_margin() -> None:
    scene = Scene()
    scene.sending.run(3)
    scene.set(490_000)
    scene.sending.run(UP_SECONDS + 0.2)
    scene.set(1_300_000)
    scene.sending.run(0.5)
    assert scene.given() == (13, 1)
    scene.set(2_000_000)
    scene.sending.run(0.5)
    assert scene.given() == (13, ALL)


def test_what_was_made_worse_is_not_made_better_at_once() -> None:
    scene = Scene()
    scene.sending.run(3)
    scene.set(490_000)
    scene.set(10_000_000)
    scene.sending.run(0.6 * UP_SECONDS)
    assert scene.given() == (12, ALL)
    scene.sending.run(0.8)
    assert scene.given() == (13, ALL)


def test_after_congestion_better_needs_more_room_for_a_while() -> None:
    scene = Scene()
    scene.sending.run(3)
    scene.set(240_000, congested=True)
    assert scene.given() == (11, ALL)
    scene.set(280_000)
    scene.sending.run(CAUTION_SECONDS - 1)
    assert scene.given() == (11, ALL)
    assert scene.path.wanted[-1] == pytest.approx(1.5 * 1_255_000, rel=0.1)
    scene.sending.run(1.2)
    assert scene.given() == (12, 0)


@pytest.mark.parametrize(("congested", "given"), [(False, (13, 0)), (True, (12, 1))])
def test_a_congested_path_is_not_given_all_it_seems_to_take(congested: bool, given: tuple[int, int]) -> None:
    scene = Scene()
    scene.sending.run(3)
    scene.set(600_000, congested=congested)
    assert scene.given() == given


def test_pictures_are_paced_where_bits_are_short_and_for_a_while_after() -> None:
    scene = Scene()
    scene.sending.run(3)
    path = path_of(scene.bob.peer.subscribed)
    assert path.paced_bps == 0
    scene.set(300_000)
    assert scene.given() != (13, ALL)
    assert path.paced_bps == 0  # it may take more: nothing says that it does not
    scene.set(240_000, congested=True)
    assert path.paced_bps == 240_000
    scene.set(300_000)
    assert path.paced_bps == 1.25 * 300_000
    scene.set(10_000_000)
    scene.sending.run(CAUTION_SECONDS - 1)
    assert scene.given() == (13, ALL)
    assert path.paced_bps == 1.25 * 10_000_000
    scene.sending.run(2)
    assert path.paced_bps == 0
    assert path_of(scene.eve.peer.subscribed).paced_bps == 0


def test_the_path_is_asked_for_what_would_be_of_use() -> None:
    scene = Scene()
    scene.sending.run(3)
    assert scene.path.wanted[-1] == pytest.approx(1_255_000, rel=0.1)
    scene.set(700_000)
    assert scene.path.wanted[-1] == pytest.approx(1.1 * 1_255_000, rel=0.1)
    scene.bob.peer.set_view([Tile("ann", Source.CAMERA, 300, 150)])
    assert scene.path.wanted[-1] == pytest.approx(155_000, rel=0.1)


def test_one_picture_is_tried_although_the_path_is_not_known_to_take_it() -> None:
    scene = Scene("chromium_plain", "f")
    scene.path.estimate_bps = 500_000
    scene.sending.run(1)
    assert scene.given()[0] == 13


@pytest.mark.parametrize("times", [1, 2])
def test_a_trial_that_ends_in_congestion_is_not_repeated_soon(times: int) -> None:
    scene = Scene("chromium_plain", "f")
    scene.path.estimate_bps = 300_000
    scene.sending.run(1)
    pause = TRIAL_PAUSE_SECONDS
    for _ in range(times):
        assert scene.given()[0] == 13
        scene.set(200_000, congested=True)
        assert scene.given()[0] == 0
        scene.set(300_000)
        scene.sending.run(pause - 1)
        assert scene.given()[0] == 0
        scene.sending.run(1.2)
        pause = min(2 * pause, MAX_TRIAL_PAUSE_SECONDS)
    assert scene.given()[0] == 13


def test_who_tells_nothing_of_the_path_is_not_bounded_after_a_while() -> None:
    scene = Scene()
    scene.path.estimate_bps, scene.path.known = 500_000, False
    scene.sending.run(1)
    assert scene.given()[0] == 12
    scene.sending.run(UNKNOWN_SECONDS)
    assert scene.given() == (13, ALL)


def test_the_time_until_media_can_flow_tells_nothing_of_the_path() -> None:
    scene = Scene()
    joe = Client(scene.room, "joe")
    joe.peer.subscribe()
    scene.sending.run(2 * UNKNOWN_SECONDS)
    joe.answer()
    connection: Any = joe.peer.subscribed
    connection.downlink = Path(500_000)
    connection.downlink.known = False
    connect(connection.transport, scene.endpoint.clock)
    scene.sending.run(0.2)
    assert carried(joe) == {"v0": 12}
    scene.sending.run(UNKNOWN_SECONDS)
    assert carried(joe) == {"v0": 13}


def test_what_comes_and_why_is_told_on_change_and_once_a_second() -> None:
    scene = Scene()
    scene.sending.run(6)
    told = scene.bob.received
    assert told[-1][0][:4] == ("v0", 1280, 720, 30)
    assert told[-1][0].limit is Limit.NONE
    count = len(told)
    scene.sending.run(5)
    assert len(told) <= count + 1
    scene.ann.peer.set_muted(Source.CAMERA, True)
    scene.sending.run(1.2)
    assert told[-1][0] == ("v0", 0, 0, 0, 0, Limit.MUTED)


def test_rooms_share_the_uplink_of_the_host() -> None:
    endpoint = EndpointDouble()
    endpoint.uplink.budget_bps = 1_100_000
    room, other = MediaRoom(endpoint), MediaRoom(endpoint)
    ann, bob, eve = Client(room, "ann"), Client(room, "bob"), Client(other, "eve")
    joe = Client(other, "joe")
    for publisher, subscriber in ((ann, bob), (eve, joe)):
        publisher.publish("chromium_simulcast")
        subscriber.subscribe()
        connection: Any = subscriber.peer.subscribed
        connection.downlink = Path(10_000_000)
    sending = [Sending(endpoint, ann), Sending(endpoint, eve)]
    for _ in range(30):
        for each in sending:
            each.run(0.1)
    used = [client.peer.subscribed.allocation.used_bps for client in (bob, joe) if client.peer.subscribed]
    assert sum(used) <= 990_000
    assert carried(bob) == carried(joe) == {"v0": 12}
    assert bob.received[-1][0].limit is Limit.UPLINK


@pytest.mark.parametrize(
    ("bps", "shown"), [(UNLIMITED, 0), (5, 0), (47, 48), (1234, 1200), (98_765, 98_000), (1_290_000, 1_200_000)]
)
def test_rates_are_told_coarsely(bps: float, shown: int) -> None:
    assert coarse(bps) == shown


def test_what_a_subscriber_cannot_decode_is_not_sent_and_it_is_told_why() -> None:
    scene = Scene()
    for stream in scene.sending.streams.values():
        stream.kind = Kind.OPAQUE
    scene.sending.run(3)
    assert scene.given()[0] == 0
    assert scene.limit() is Limit.CODEC
    scene.eve.peer.leave()
    scene.sending.run(3)
    assert not any(layer.active for layer in scene.ann.wanted[-1][0].layers)
    connection: Any = scene.bob.peer.subscribed
    assert connection.paused()["codec"] == 1


def test_the_layer_that_played_on_is_let_go_when_the_other_has_come() -> None:
    scene = Scene()
    scene.sending.run(3)
    connection: Any = scene.bob.peer.subscribed
    slot = connection.places[0].video
    published: Any = scene.ann.peer.published
    full = published.publications["1"].views["f"]
    scene.eve.peer.leave()
    path_of(connection).slots[1].lags = True
    scene.bob.peer.set_view([Tile("ann", Source.CAMERA, 300, 150)])
    assert slot.choice.rid == "q"
    assert sum(full.watchers) == 1
    path_of(connection).slots[1].arrive()
    connection.switched(slot.line.ssrc, scene.endpoint.clock)
    assert sum(full.watchers) == 0


def test_important_pictures_go_first_where_the_uplink_is_short() -> None:
    scene = Scene()
    scene.sending.run(3)
    slot = path_of(scene.bob.peer.subscribed).slots[1]
    assert slot.priority == 0
    scene.bob.peer.set_view([Tile("ann", Source.CAMERA, 1280, 720, pinned=True)])
    scene.sending.run(0.3)
    assert slot.priority == MAX_PRIORITY


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, False),
        ({"bps": 120_000}, False),
        ({"bps": 130_000}, True),
        ({"bps": 70_000}, True),
        ({"framerate": 26}, False),
        ({"framerate": 25}, True),
        ({"width": 640}, True),
        ({"limit": Limit.LINK}, True),
    ],
)
def test_small_changes_of_rates_are_not_told(change: dict[str, Any], told: bool) -> None:
    stream = ReceivedStream("v0", 320, 180, 30, 100_000, Limit.TILE)
    assert differ([stream], [stream._replace(**change)]) is told
    assert differ([], [stream])
