from collections.abc import Sequence
from typing import Any

import pytest

from sfu import rtcp
from sfu.allocation import ReceivedStream
from sfu.budget import Pool, share
from sfu.codecs import Kind
from sfu.feedback import Nacks
from sfu.formats import OFFERED_EXTENSIONS
from sfu.publish_answer import AgreedTrack, Source
from sfu.sdp import Media, SdpError, parse
from sfu.slots import SlotView
from sfu.subscription import CHUNK_PLACES, MAX_PLACES, SubscribeConnection
from sfu.track import Layer, Publication
from sfu.transport import State
from tests.sfu.doubles import StreamDouble
from tests.sfu.peers import CONTEXT, EndpointDouble, browser_answer, connect, path_of


class Owner:
    connection: SubscribeConnection

    def __init__(self) -> None:
        self.ready = 0
        self.failed: list[object] = []
        self.told: list[Sequence[ReceivedStream]] = []

    def connection_ready(self) -> None:
        self.ready += 1

    def connection_failed(self, connection: object) -> None:
        self.failed.append(connection)

    def allocate(self, now: float) -> bool:
        receiver = self.connection.claim(Pool(), now)
        share([receiver], Pool())
        self.connection.take(receiver, now)
        return True

    def received(self, streams: Sequence[ReceivedStream], estimate_bps: int) -> None:
        self.told.append(streams)


class Publisher:
    """Stands for the publish connection an incoming stream belongs to."""

    def __init__(self) -> None:
        self.requested: list[Any] = []

    def request_keyframe(self, stream: Any, now: float) -> None:
        self.requested.append(stream)


def publication(source: Source, ssrc: int = 77) -> Publication:
    track = AgreedTrack(Media("audio" if source.audio else "video", 9, "X", []))
    made = Publication("0", source, track)
    made.agree((), 100.0)
    stream: Any = StreamDouble(ssrc, source.audio)
    stream.last_packet_at, stream.width, stream.height = 100.0, 64, 36  # small enough for any path
    made.layers[""] = Layer(made, "", stream, made.views[""], Nacks(stream))
    made.observe(100.0)
    return made


def made() -> tuple[EndpointDouble, SubscribeConnection]:
    endpoint = EndpointDouble()
    owner = Owner()
    connection = SubscribeConnection(endpoint, owner)
    owner.connection = connection
    endpoint.watch(connection)
    return endpoint, connection


def agreed() -> tuple[EndpointDouble, SubscribeConnection]:
    endpoint, connection = made()
    connection.answer(browser_answer(connection.offer(["192.0.2.1"], 40000)), endpoint.clock)
    connect(connection.transport, endpoint.clock)
    assert connection.transport.state is State.CONNECTED
    return endpoint, connection


def streams(connection: SubscribeConnection) -> dict[str, int]:
    return {slot.mid: slot.stream.ssrc for slot in path_of(connection).slots if slot.stream is not None}


def test_the_first_offer_has_pairs_of_slots_with_stable_names() -> None:
    _, connection = made()
    described = parse(connection.offer(["192.0.2.1"], 40000))
    assert [media.mid for media in described.media] == [f"{k}{n}" for n in range(CHUNK_PLACES) for k in "av"]
    audio, video = described.media[:2]
    assert list(video.repairs.values()) == [video.ssrcs[0]]
    streams = [content for media in (audio, video) for name, content in media.attributes if name == "msid"]
    assert [each and each.split()[0] for each in streams] == ["place0", "place0"]
    assert all(media.direction == "sendonly" and media.transport.setup == "actpass" for media in described.media)
    ssrcs = [ssrc for media in described.media for ssrc in media.ssrcs]
    assert len(set(ssrcs)) == len(ssrcs)
    assert described.bundle == tuple(media.mid for media in described.media)


def test_the_answer_decides_which_codecs_a_slot_carries() -> None:
    endpoint, connection = made()
    connection.answer(browser_answer(connection.offer([], 1), drop=["H264"]), endpoint.clock)
    video = path_of(connection).slots[1]
    assert video.payloads == {Kind.VP8: (96, 97), Kind.VP9: (98, 99), Kind.AV1: (45, 46)}
    assert path_of(connection).send == OFFERED_EXTENSIONS


def test_a_subscriber_without_rtx_gets_none() -> None:
    endpoint, connection = made()
    connection.answer(browser_answer(connection.offer([], 1), drop=["rtx"]), endpoint.clock)
    assert path_of(connection).slots[1].payloads[Kind.VP8] == (96, None)


def test_camera_and_microphone_of_one_person_sit_together() -> None:
    _, connection = agreed()
    assert connection.seat(
        [
            ("bob", publication(Source.CAMERA, 1)),
            ("ann", publication(Source.MICROPHONE, 2)),
            ("bob", publication(Source.MICROPHONE, 3)),
        ],
        100.0,
    )
    assert connection.views() == [
        SlotView("a0", "bob", Source.MICROPHONE),
        SlotView("v0", "bob", Source.CAMERA),
        SlotView("a1", "ann", Source.MICROPHONE),
    ]
    assert streams(connection) == {"a0": 3, "v0": 1, "a1": 2}


def test_the_first_picture_is_timed_from_when_there_is_one() -> None:
    """Not from when somebody came who was alone for half a minute."""
    endpoint, connection = agreed()
    microphone, camera = ("bob", publication(Source.MICROPHONE, 1)), ("bob", publication(Source.CAMERA, 2))
    connection.seat([microphone], 130.0)
    connection.switched(connection.places[0].audio.line.ssrc, 130.1)
    connection.seat([microphone, camera], 140.0)
    for at in (140.4, 150.0):
        connection.switched(connection.places[0].video.line.ssrc, at)
    measured = endpoint.counters.first_frame_seconds
    assert sum(measured.counts) == 1
    assert measured.sum == pytest.approx(0.4)


def test_a_screen_has_a_place_of_its_own() -> None:
    _, connection = agreed()
    connection.seat([("bob", publication(Source.CAMERA)), ("bob", publication(Source.SCREEN))], 100.0)
    assert [view.mid for view in connection.views()] == ["v0", "v1"]


def test_a_place_left_is_taken_by_the_next_without_an_offer() -> None:
    _, connection = agreed()
    ann, bob = publication(Source.CAMERA, 1), publication(Source.CAMERA, 2)
    connection.seat([("ann", ann), ("bob", bob)], 100.0)
    connection.seat([("bob", bob)], 100.0)
    assert streams(connection) == {"v1": 2}
    connection.seat([("bob", bob), ("eve", publication(Source.CAMERA, 3))], 100.0)
    assert streams(connection) == {"v0": 3, "v1": 2}
    assert not connection.offer_needed


def test_more_people_than_places_need_an_offer_and_get_their_slots_with_it() -> None:
    endpoint, connection = agreed()
    people = [(f"p{n}", publication(Source.CAMERA, n)) for n in range(CHUNK_PLACES + 1)]
    connection.seat(people, 100.0)
    assert connection.offer_needed
    assert len(connection.views()) == CHUNK_PLACES
    text = connection.offer([], 1)
    assert not connection.offer_needed
    assert len(parse(text).media) == 4 * CHUNK_PLACES
    connection.answer(browser_answer(text), endpoint.clock)
    assert len(streams(connection)) == len(connection.views()) == CHUNK_PLACES + 1


def test_places_are_bounded_and_who_finds_none_is_counted() -> None:
    _, connection = agreed()
    connection.seat([(f"p{n}", publication(Source.CAMERA, n)) for n in range(MAX_PLACES + 1)], 100.0)
    assert len(connection.places) == MAX_PLACES
    assert connection.unseated == 1


def test_who_sends_something_is_seated_before_who_sends_nothing() -> None:
    _, connection = agreed()
    people = [(f"p{n}", publication(Source.CAMERA, n)) for n in range(MAX_PLACES + 2)]
    for _, track in people[3:-1]:
        track.muted = True
    connection.seat(people, 100.0)
    seated = [place.side.peer_id for place in connection.places if place.side is not None]
    assert seated[:4] == ["p0", "p1", "p2", f"p{MAX_PLACES + 1}"]
    assert connection.unseated == 2


def test_who_begins_to_send_takes_the_place_of_one_who_sends_nothing_and_moves_nobody_else() -> None:
    _, connection = agreed()
    people = [(f"p{n}", publication(Source.CAMERA, n)) for n in range(MAX_PLACES + 1)]
    people[5][1].muted = people[-1][1].muted = True
    connection.seat(people, 100.0)
    before = [place.side for place in connection.places]
    people[-1][1].muted = False
    connection.seat(people, 100.0)
    after = [place.side for place in connection.places]
    (changed,) = [n for n in range(MAX_PLACES) if before[n] != after[n]]
    assert (before[changed], after[changed]) == (("p5", False), (f"p{MAX_PLACES}", False))
    assert connection.unseated == 1


def test_the_slots_of_who_lost_their_place_fall_silent() -> None:
    _, connection = agreed()
    people = [(f"p{n}", publication(Source.CAMERA, n)) for n in range(MAX_PLACES)]
    connection.seat(people, 100.0)
    connection.answer(browser_answer(connection.offer([], 1)), 100.0)
    people[5][1].muted = True
    connection.seat([*people, ("eve", publication(Source.MICROPHONE, 99))], 100.0)
    assert streams(connection)["a5"] == 99
    assert "v5" not in streams(connection)


def test_nothing_is_followed_before_media_can_flow() -> None:
    endpoint, connection = made()
    connection.seat([("ann", publication(Source.CAMERA, 1))], 100.0)
    connection.answer(browser_answer(connection.offer([], 1)), endpoint.clock)
    assert streams(connection) == {}
    connect(connection.transport, endpoint.clock)
    assert streams(connection) == {"v0": 1}


def test_a_slot_the_subscriber_refused_carries_nothing() -> None:
    endpoint, connection = made()
    answer = browser_answer(connection.offer([], 1)).replace("m=video 9", "m=video 0")
    connection.answer(answer, endpoint.clock)
    connect(connection.transport, endpoint.clock)
    connection.seat([("ann", publication(Source.CAMERA, 1)), ("ann", publication(Source.MICROPHONE, 2))], 100.0)
    assert streams(connection) == {"a0": 2}


def test_an_answer_of_another_peer_connection_is_refused() -> None:
    endpoint, connection = agreed()
    with pytest.raises(SdpError):
        connection.answer(browser_answer(connection.offer([], 1), context=CONTEXT), endpoint.clock)


@pytest.mark.parametrize(
    ("old", "new"),
    [("a=mid:a0", "a=mid:zz"), ("m=audio", "m=video"), ("a=setup:active", "a=setup:actpass"), ("a=ice-pwd", "a=x")],
)
def test_an_answer_that_does_not_fit_is_refused(old: str, new: str) -> None:
    endpoint, connection = made()
    with pytest.raises(SdpError):
        connection.answer(browser_answer(connection.offer([], 1)).replace(old, new), endpoint.clock)


def test_an_answer_with_too_few_mlines_is_refused() -> None:
    endpoint, connection = made()
    answer = browser_answer(connection.offer([], 1))
    with pytest.raises(SdpError):
        connection.answer(answer[: answer.rindex("m=")], endpoint.clock)


def test_a_nack_is_answered_by_its_slot() -> None:
    endpoint, connection = agreed()
    ssrc = path_of(connection).slots[1].ssrc
    connection.rtcp_received([rtcp.Nack(1, ssrc, (5, 6)), rtcp.Nack(1, 999, (7,))], endpoint.clock, endpoint.clock)
    assert path_of(connection).slots[1].retransmitted == [5, 6]


def test_a_flood_of_nacks_is_cut() -> None:
    endpoint, connection = agreed()
    ssrc = path_of(connection).slots[1].ssrc
    connection.rtcp_received([rtcp.Nack(1, ssrc, tuple(range(1000)))] * 5, endpoint.clock, endpoint.clock)
    assert len(path_of(connection).slots[1].retransmitted) == 2000


def test_picture_loss_and_fir_reach_the_publisher() -> None:
    endpoint, connection = agreed()
    track = publication(Source.CAMERA, 1)
    connection.seat([("ann", track)], 100.0)
    publisher: Any = Publisher()
    endpoint.streams[track.layers[""].stream] = publisher
    ssrc = path_of(connection).slots[1].ssrc
    connection.rtcp_received(
        [rtcp.PictureLoss(1, ssrc), rtcp.FullIntraRequest(1, ((ssrc, 3),))], endpoint.clock, endpoint.clock
    )
    assert publisher.requested == [track.layers[""].stream] * 2


def test_sender_reports_go_out_within_a_second_of_a_change_and_then_each_three() -> None:
    endpoint, connection = agreed()
    path = path_of(connection)
    path.report = (2**31, 2)
    before = endpoint.counters.rtcp_out["sr"]
    endpoint.advance(7.2)
    connection.seat([("ann", publication(Source.CAMERA, 1))], endpoint.clock)
    connection.allocate(endpoint.clock)
    endpoint.advance(1.1)
    started = path.reported_at[0] - 1
    assert [round(at - started, 1) for at in path.reported_at] == [1.0, 4.0, 7.0, 8.2]
    assert endpoint.counters.rtcp_out["sr"] - before == 8


def test_loss_that_subscribers_report_is_counted_once() -> None:
    endpoint, connection = agreed()
    ssrc = path_of(connection).slots[1].ssrc
    for lost in (3, 3, 5):
        report = rtcp.ReceiverReport(1, (rtcp.ReportBlock(ssrc, 0, lost, 0, 0),))
        connection.rtcp_received([report], endpoint.clock, endpoint.clock)
    assert endpoint.counters.lost["out", "video"] == 5


def test_closing_gives_everything_back() -> None:
    endpoint, connection = agreed()
    connection.seat([("ann", publication(Source.CAMERA, 1))], 100.0)
    connection.close(endpoint.clock)
    assert path_of(connection).slots == []
    assert connection.views() == []
    assert endpoint.registry == {}


def test_round_trips_are_measured_from_our_sender_reports() -> None:
    endpoint, connection = agreed()
    connection.seat([("ann", publication(Source.CAMERA, 1))], 100.0)
    slot = path_of(connection).slots[1]
    path_of(connection).report = (0x2222_3333, 1)
    endpoint.advance(1.02)
    block = rtcp.ReportBlock(slot.ssrc, 0, 0, 0, 900, 0x2222_3333, 0)
    connection.rtcp_received(
        [rtcp.ReceiverReport(1, (block,))], endpoint.clock + 0.5, endpoint.clock + 0.03
    )  # it lay unread
    assert endpoint.counters.rtt_seconds.sum == pytest.approx(0.04, abs=0.03)
    assert endpoint.counters.jitter_seconds.sum == pytest.approx(0.01)
