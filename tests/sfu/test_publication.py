from typing import Any

import pytest

from sfu import rtcp
from sfu.demand import OFF_SECONDS, WantedLayer
from sfu.feedback import MAX_ASKED, MAX_MISSING
from sfu.layers import ALL
from sfu.publication import PublishConnection, read_offer
from sfu.publish_answer import Source
from sfu.sdp import SdpError, parse
from sfu.track import Change
from sfu.transport import State
from tests.sfu.peers import CONTEXT, EndpointDouble, connect, path_of, recorded

BOTH = {"0": Source.MICROPHONE, "1": Source.CAMERA}


class Owner:
    def __init__(self) -> None:
        self.changes = 0
        self.failed: list[object] = []

    def publications_changed(self) -> None:
        self.changes += 1

    def layers_changed(self) -> None:
        self.changes += 1

    def connection_failed(self, connection: object) -> None:
        self.failed.append(connection)


OUR_NAME = rtcp.SourceDescription(((1, b"2"),))  # the session id: credentials took the first number


def made(
    name: str = "chromium_simulcast", sources: dict[str, Source] = BOTH
) -> tuple[EndpointDouble, PublishConnection]:
    endpoint = EndpointDouble()
    owner: Any = Owner()
    connection = PublishConnection(endpoint, owner)
    connection.negotiate(read_offer(recorded(name), sources), ["192.0.2.1"], 40000, endpoint.clock)
    endpoint.watch(connection)
    return endpoint, connection


def connected(name: str = "chromium_simulcast") -> tuple[EndpointDouble, PublishConnection]:
    endpoint, connection = made(name)
    connect(connection.transport, endpoint.clock)
    assert connection.transport.state is State.CONNECTED
    return endpoint, connection


def sent(connection: PublishConnection, kind: type) -> list[Any]:
    return [packet for packet in path_of(connection).sent_rtcp if isinstance(packet, kind)]


def test_media_is_bound_by_mid_and_rid() -> None:
    endpoint, connection = made()
    assert connection.unknown_ssrc(11, 96, "1", "h", None, 100.0)
    assert connection.unknown_ssrc(12, 96, "1", "q", None, 100.0)
    assert connection.unknown_ssrc(13, 111, "0", None, None, 100.0)
    video = connection.publications["1"]
    assert {rid: layer.stream.ssrc for rid, layer in video.layers.items()} == {"h": 11, "q": 12}
    assert video.layers["h"].view.order == 1
    assert len(endpoint.streams) == 3


def test_rtx_padding_before_any_media_is_bound_when_the_media_comes() -> None:
    _, connection = made()
    assert not connection.unknown_ssrc(21, 97, "1", None, "f", 100.0)
    assert connection.unknown_ssrc(11, 96, "1", "f", None, 100.0)
    assert path_of(connection).repairs[21].ssrc == 11


def test_rtx_is_bound_by_repaired_rid_after_the_media() -> None:
    _, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    connection.unknown_ssrc(12, 96, "1", "h", None, 100.0)
    assert connection.unknown_ssrc(21, 97, "1", None, "h", 100.0)
    assert path_of(connection).repairs[21].ssrc == 12


def test_rtx_without_any_hint_waits() -> None:
    _, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    assert not connection.unknown_ssrc(21, 97, "1", None, None, 100.0)


def test_firefox_without_extensions_is_bound_by_its_ssrc_lines() -> None:
    _, connection = made("firefox_simulcast")
    media = parse(recorded("firefox_simulcast")).media[1]
    primary = [ssrc for ssrc in media.ssrcs if ssrc not in media.repairs]
    assert connection.unknown_ssrc(primary[2], 120, None, None, None, 100.0)
    rtx = next(each for each, repaired in media.repairs.items() if repaired == primary[2])
    assert connection.unknown_ssrc(rtx, 124, None, None, None, 100.0)
    assert list(connection.publications["1"].layers) == ["f"]


def test_one_stream_without_extensions_is_bound_by_payload_type() -> None:
    _, connection = made("chromium_plain")
    assert connection.unknown_ssrc(99, 96, None, None, None, 100.0)
    assert connection.unknown_ssrc(98, 111, None, None, None, 100.0)
    assert connection.unknown_ssrc(97, 97, None, None, None, 100.0)
    assert path_of(connection).repairs[97].ssrc == 99


@pytest.mark.parametrize(
    ("payload_type", "mid", "rid"), [(96, "7", "q"), (96, "1", "x"), (96, "1", None), (63, "0", None), (5, None, None)]
)
def test_what_fits_nothing_is_not_bound(payload_type: int, mid: str | None, rid: str | None) -> None:
    _, connection = made()
    assert not connection.unknown_ssrc(50, payload_type, mid, rid, None, 100.0)
    assert path_of(connection).streams == {}


def test_a_sender_that_takes_another_ssrc_replaces_the_layer() -> None:
    endpoint, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    connection.unknown_ssrc(12, 96, "1", "q", None, 100.0)
    assert list(path_of(connection).streams) == [12]
    assert len(endpoint.streams) == 1


def test_a_keyframe_is_asked_for_at_most_every_400_ms_until_it_comes() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    stream = connection.publications["1"].layers["q"].stream
    stream.last_keyframe_at = endpoint.clock + 1
    endpoint.advance(2)
    for _ in range(5):
        connection.request_keyframe(stream, endpoint.clock)
        endpoint.advance(0.02)
    assert len(sent(connection, rtcp.PictureLoss)) == 1
    endpoint.advance(0.9)
    assert len(sent(connection, rtcp.PictureLoss)) == 3
    stream.last_keyframe_at = endpoint.clock
    endpoint.advance(2)
    assert len(sent(connection, rtcp.PictureLoss)) == 3
    connection.request_keyframe(stream, endpoint.clock)
    endpoint.advance(0.1)
    assert len(sent(connection, rtcp.PictureLoss)) == 4


def test_a_lost_packet_is_asked_for_until_it_comes() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    stream: Any = connection.publications["1"].layers["q"].stream
    stream.missing = {5, 6}
    connection.lost(stream, [5, 6], endpoint.clock)
    endpoint.advance(0.04)
    assert [packet.sequence_numbers for packet in sent(connection, rtcp.Nack)] == [(5, 6)]
    stream.missing = {6}
    endpoint.advance(0.1)
    assert sent(connection, rtcp.Nack)[-1].sequence_numbers == (6,)
    stream.missing = set()
    count = len(sent(connection, rtcp.Nack))
    endpoint.advance(1)
    assert len(sent(connection, rtcp.Nack)) == count


def test_a_packet_that_never_comes_is_given_up() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    stream: Any = connection.publications["1"].layers["q"].stream
    stream.missing = {5}
    connection.lost(stream, [5], endpoint.clock)
    endpoint.advance(3)
    assert 5 <= len(sent(connection, rtcp.Nack)) <= 10


def test_many_lost_packets_are_asked_for_in_datagrams_that_fit() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    stream: Any = connection.publications["1"].layers["q"].stream
    stream.missing = set(range(0, 20 * MAX_MISSING, 20))
    connection.lost(stream, sorted(stream.missing), endpoint.clock)
    endpoint.advance(0.05)
    nacks = sent(connection, rtcp.Nack)
    assert {number for packet in nacks for number in packet.sequence_numbers} == stream.missing
    assert max(len(rtcp.build_compound([packet])) for packet in nacks) < 1100
    assert len(nacks) == MAX_MISSING // MAX_ASKED


def test_a_reordered_packet_is_not_asked_for() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    connection.lost(connection.publications["1"].layers["q"].stream, [5], endpoint.clock)
    endpoint.advance(1)
    assert sent(connection, rtcp.Nack) == []


def test_too_much_loss_asks_for_a_keyframe_instead() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    stream: Any = connection.publications["1"].layers["q"].stream
    stream.missing = set(range(MAX_MISSING + 1))
    connection.lost(stream, range(MAX_MISSING + 1), endpoint.clock)
    endpoint.advance(0.1)
    assert sent(connection, rtcp.Nack) == []
    assert len(sent(connection, rtcp.PictureLoss)) == 1


def test_no_receiver_report_before_an_ssrc_is_bound() -> None:
    endpoint, connection = connected()
    endpoint.advance(3)
    assert path_of(connection).sent_rtcp == []
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    endpoint.advance(1.1)
    report = sent(connection, rtcp.ReceiverReport)[0]
    assert [block.ssrc for block in report.reports] == [11]


@pytest.mark.parametrize("reduced", [True, False])
def test_feedback_goes_alone_only_where_that_was_agreed(reduced: bool) -> None:
    endpoint, connection = connected()
    if not reduced:
        offer = recorded("chromium_simulcast").replace("a=rtcp-rsize\r\n", "")
        connection.negotiate(read_offer(offer, BOTH), [], 40000, endpoint.clock)
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    stream: Any = connection.publications["1"].layers["q"].stream
    stream.missing = {5}
    connection.lost(stream, [5], endpoint.clock)
    connection.request_keyframe(stream, endpoint.clock)
    path_of(connection).arrivals = [(3, 1_000_000)]
    endpoint.advance(0.11)
    empty = [] if reduced else [rtcp.ReceiverReport(1), OUR_NAME]
    compounds = path_of(connection).compounds
    assert {type(compound[-1]) for compound in compounds} == {rtcp.Nack, rtcp.PictureLoss, rtcp.TransportFeedback}
    assert all(compound[:-1] == empty for compound in compounds)


def test_reports_go_with_our_name() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    endpoint.advance(1.1)
    compound = path_of(connection).compounds[-1]
    assert [type(packet) for packet in compound] == [rtcp.ReceiverReport, rtcp.SourceDescription]
    assert compound[1] == OUR_NAME


def test_receiver_reports_echo_the_senders_report() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    report, arrived_at = rtcp.SenderReport(11, 0x1234_5678_9ABC_DEF0, 900, 1, 1), endpoint.clock - 0.5  # it lay unread
    connection.rtcp_received([report], endpoint.clock, arrived_at)
    stream: Any = connection.publications["1"].layers["q"].stream
    assert stream.reports == [(0x1234_5678_9ABC_DEF0, 900, arrived_at)]
    endpoint.advance(1.1)
    block = sent(connection, rtcp.ReceiverReport)[0].reports[0]
    assert block.last_sr == 0x5678_9ABC
    assert 1.4 * 65536 < block.delay < 1.7 * 65536


def test_transport_feedback_goes_out_while_packets_arrive() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    path_of(connection).arrivals = [(3, 1_000_000), (4, 1_000_500), (6, 1_002_000)]
    endpoint.advance(0.15)
    (packet,) = sent(connection, rtcp.TransportFeedback)
    assert packet.base_sequence == 3
    assert [delta is not None for delta in packet.deltas] == [True, True, False, True]
    path_of(connection).arrivals = [(8, 1_100_000)]
    endpoint.advance(0.12)
    second = sent(connection, rtcp.TransportFeedback)[1]
    assert (second.base_sequence, second.feedback_count) == (7, packet.feedback_count + 1)


def test_remb_for_those_who_know_nothing_better() -> None:
    endpoint = EndpointDouble()
    owner: Any = Owner()
    connection = PublishConnection(endpoint, owner)
    offer = recorded("aiortc_plain")
    sources = dict(zip((media.mid for media in parse(offer).media), BOTH.values(), strict=True))
    connection.negotiate(read_offer(offer, sources), ["192.0.2.1"], 40000, endpoint.clock)
    endpoint.watch(connection)
    connect(connection.transport, endpoint.clock)
    video = next(each for each in connection.publications.values() if not each.audio)
    connection.unknown_ssrc(11, video.track.formats[0].payload_type, video.mid, None, None, 100.0)
    endpoint.advance(1.1)
    assert sent(connection, rtcp.Remb)[0].ssrcs == (11,)


def test_mute_reaches_present_and_later_layers() -> None:
    _, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    connection.set_muted(Source.CAMERA, True)
    connection.unknown_ssrc(12, 96, "1", "h", None, 100.0)
    assert [stream.active for stream in path_of(connection).streams.values()] == [False, False]
    connection.set_muted(Source.CAMERA, False)
    assert [stream.active for stream in path_of(connection).streams.values()] == [True, True]


def test_a_removed_track_gives_its_streams_back() -> None:
    endpoint, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    offer = recorded("chromium_simulcast").replace("a=sendonly", "a=inactive")
    connection.negotiate(read_offer(offer, {}), [], 40000, endpoint.clock)
    assert connection.publications == {}
    assert path_of(connection).streams == {}
    assert endpoint.streams == {}


def test_an_mline_used_for_another_source_starts_anew() -> None:
    endpoint, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    connection.negotiate(
        read_offer(recorded("chromium_simulcast"), {"0": Source.MICROPHONE, "1": Source.SCREEN}),
        [],
        40000,
        endpoint.clock,
    )
    assert connection.publications["1"].source is Source.SCREEN
    assert path_of(connection).streams == {}


def test_renegotiation_keeps_what_stays() -> None:
    endpoint, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    ufrag = connection.transport.credentials.ufrag
    connection.negotiate(read_offer(recorded("chromium_simulcast"), BOTH), [], 40000, endpoint.clock)
    assert list(path_of(connection).streams) == [11]
    assert connection.transport.credentials.ufrag == ufrag


def test_a_new_remote_ufrag_is_an_ice_restart() -> None:
    endpoint, connection = made()
    ufrag = connection.transport.credentials.ufrag
    offer = recorded("chromium_simulcast")
    offer = offer.replace(parse(offer).media[0].transport.ufrag, "fresh")
    agreement = read_offer(offer, BOTH)
    assert not connection.replaced_by(agreement)
    text = connection.negotiate(agreement, [], 40000, endpoint.clock)
    assert parse(text).media[0].transport.ufrag == connection.transport.credentials.ufrag != ufrag


def test_another_fingerprint_is_another_peer_connection() -> None:
    _, connection = made()
    assert connection.replaced_by(read_offer(recorded("chromium_simulcast", CONTEXT), BOTH))
    assert not connection.replaced_by(read_offer(recorded("chromium_simulcast"), BOTH))


def test_what_receivers_may_be_given_follows_what_is_alive() -> None:
    endpoint, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    connection.unknown_ssrc(12, 96, "1", "h", None, 100.0)
    video = connection.publications["1"]
    for layer, width in ((video.layers["q"], 320), (video.layers["h"], 640)):
        stream: Any = layer.stream
        stream.last_packet_at, stream.width, stream.height = endpoint.clock, width, width // 2
    assert connection.observe(endpoint.clock) is Change.LAYERS
    assert {option.rid: option.width for option in video.options} == {"q": 320, "h": 640, "f": 1280}
    stream = video.layers["q"].stream
    stream.last_packet_at = endpoint.clock + 3
    assert connection.observe(endpoint.clock + 3) is Change.LAYERS
    assert [option.rid for option in video.options] == ["q"]
    assert connection.observe(endpoint.clock + 3) is Change.NONE


def test_a_layer_that_is_agreed_no_more_ends() -> None:
    endpoint, connection = made()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    connection.unknown_ssrc(12, 96, "1", "f", None, 100.0)
    text = recorded("chromium_simulcast").replace("a=rid:f send\r\n", "").replace("send q;h;f", "send q;h")
    connection.negotiate(read_offer(text, BOTH), ["192.0.2.1"], 40000, endpoint.clock)
    assert list(connection.publications["1"].layers) == ["q"]
    assert list(connection.publications["1"].views) == ["q", "h"]
    assert list(path_of(connection).streams) == [11]


def test_what_nobody_watches_is_not_wanted_after_a_while() -> None:
    endpoint, connection = made()
    video = connection.publications["1"]
    video.views["h"].watch(ALL, endpoint.clock, 1)
    assert all(layer.active for layer in connection.wanted(endpoint.clock + OFF_SECONDS - 0.1)[0].layers)
    (camera,) = connection.wanted(endpoint.clock + OFF_SECONDS)
    assert camera.source is Source.CAMERA
    assert [(layer.rid, layer.active) for layer in camera.layers] == [("q", False), ("h", True), ("f", False)]
    video.views["f"].watch(2, endpoint.clock, 1)
    (camera,) = connection.wanted(endpoint.clock + OFF_SECONDS)
    assert camera.layers[2] == WantedLayer("f", True, 2)


def test_a_broken_offer_says_why() -> None:
    with pytest.raises(SdpError, match="v=0"):
        read_offer("s=nonsense", BOTH)


def test_packets_lost_on_the_way_in_are_counted_once() -> None:
    endpoint, connection = connected()
    connection.unknown_ssrc(11, 96, "1", "q", None, 100.0)
    path_of(connection).streams[11].lost = 4
    endpoint.advance(3.5)
    assert endpoint.counters.lost == {("in", "video"): 4}
