"""The compiled join and delay filter against the plain model, over random traffic."""

from __future__ import annotations

import random

import pytest

from sfu.rtcp import TransportFeedback
from tests.sfu.exchange import KEYFRAME, Exchange, Peer, slot_of, video
from tests.sfu.path_model import RATE_US, RECENT_US, PathModel
from tests.sfu.test_forward_feedback import WIRE_OVERHEAD, feed
from tests.sfu.transport_feedback import transport_feedback


class Pair:
    """The compiled path and its model, fed the same."""

    def __init__(self, exchange: Exchange, seed: int) -> None:
        self.exchange = exchange
        self.random = random.Random(seed)
        self.publisher: Peer = exchange.peer()
        self.subscriber: Peer = exchange.peer()
        slot_of(self.subscriber).follow(self.publisher.transport.add_stream(1, audio=False))
        self.model = PathModel()
        self.number = 0
        self.offset_us = self.random.randrange(-(1 << 40), 1 << 40)
        self.delay_us = 20_000.0
        self.arrivals: list[tuple[int, int]] = []
        self.next_reported = 1
        self.last_arrival = 0
        self.publisher.send(video(0, KEYFRAME))
        self.subscriber.raw()
        feed(exchange, self.subscriber, TransportFeedback(1, 1, 0, 0, 0, (0,)))

    def send(self) -> None:
        """A burst through a path whose delay wanders."""
        count = self.random.choice((1, 1, 2, 5))
        self.publisher.send(*(video(self.number + 1 + i, bytes(self.random.randrange(50, 1200))) for i in range(count)))
        for data in self.subscriber.raw():
            self.number += 1
            now_us = round(self.exchange.now * 1e6)
            self.model.send(self.number, now_us, len(data) + WIRE_OVERHEAD)
            self.delay_us = max(5000.0, self.delay_us + self.random.gauss(0, 2500))
            arrival = now_us + int(self.delay_us) + self.offset_us
            if self.random.random() < 0.97:
                self.arrivals.append((self.number, arrival))

    def report(self) -> None:
        """Feedback of what has arrived, now and then with what was reported before."""
        self.arrivals.sort()
        if not self.arrivals:
            return
        if self.random.random() < 0.2:
            self.next_reported = max(1, self.next_reported - 5)
        first = self.next_reported
        for each in transport_feedback(
            self.arrivals, sender_ssrc=1, media_ssrc=1, feedback_count=0, first=self.next_reported
        ):
            first += (each.base_sequence - first + 0x8000 & 0xFFFF) - 0x8000
            self.model.feed(each, first, round(self.exchange.now * 1e6))
            feed(self.exchange, self.subscriber, each)
        self.next_reported = self.arrivals[-1][0] + 1
        self.arrivals.clear()

    def compare(self) -> None:
        report = self.subscriber.transport.path_report()
        assert report is not None
        model = self.model
        assert (report.received, report.missed) == (model.received, model.missed)
        assert report.acked_bps == pytest.approx(model.rates(RATE_US)[0])
        assert report.sent_bps == pytest.approx(model.rates(RATE_US)[1])
        assert report.recent_bps == pytest.approx(model.rates(RECENT_US)[0])
        assert report.queue_seconds == pytest.approx(max(0, model.queue_us) / 1e6)
        assert report.rtt_seconds == pytest.approx(model.rtt_us / 1e6)
        assert (report.overusing, report.underusing) == (model.delay.use == "over", model.delay.use == "under")
        assert report.overused == model.delay.overused
        model.received = model.missed = 0
        model.delay.overused = False


@pytest.mark.parametrize("seed", range(4))
def test_the_compiled_path_and_its_model_agree(exchange: Exchange, seed: int) -> None:
    pair = Pair(exchange, seed)
    pair.subscriber.transport.path_report()
    overused = 0
    for step in range(800):
        exchange.now = round(exchange.now + pair.random.choice((0.0, 0.003, 0.01, 0.03)), 6)
        pair.send()
        if step % 7 == 6 and pair.arrivals:
            exchange.now = round(exchange.now + 0.03, 6)
            pair.report()
            overused += pair.model.delay.overused
            pair.compare()
    assert overused
