"""Random traffic through the forward path and through its plain model: what comes out is the same, byte for byte."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfu.forward import Kind, Slot, Stream
from sfu.rtp import Extension, RtpPacket, build_rtp, wrap_rtx
from tests.sfu.descriptors import L1T3, L2T1, descriptor
from tests.sfu.exchange import (
    DELTA,
    H264,
    KEY_BYTES,
    KEYFRAME,
    PAYLOADS,
    RECEIVE,
    RTX,
    VIDEO,
    VP9,
    Exchange,
    Peer,
    opened,
)
from tests.sfu.rewrite_model import SlotModel, StreamModel


class Scenario:
    """Random traffic through the forwarder and through the model."""

    def __init__(self, exchange: Exchange, rng: random.Random) -> None:
        self.exchange, self.rng = exchange, rng
        profile = rng.choice(list(KEY_BYTES))
        meanings = [meaning for meaning in Extension if rng.random() < 0.7]
        ids = rng.sample(range(1, 256) if rng.random() < 0.2 else range(1, 15), len(meanings))
        self.send_map = dict(zip(meanings, ids, strict=True))
        self.subscriber = exchange.peer(profile, send=self.send_map)
        self.publishers = [exchange.peer(profile) for _ in range(2)]
        self.streams: list[tuple[Stream, StreamModel, Peer]] = []
        for index in range(4):
            peer = self.publishers[index // 3]
            stream = peer.transport.add_stream(10 + index, audio=False)
            peer.transport.add_repair(20 + index, stream)
            kinds = {number: (kind, clock) for number, (kind, clock, _) in PAYLOADS.items()}
            self.streams.append((stream, StreamModel(10 + index, False, peer, kinds, RECEIVE), peer))
        self.source = [[rng.randrange(0x10000), rng.randrange(2**32), rng.randrange(2**15)] for _ in self.streams]
        self.repairs = [0] * len(self.streams)
        self.slots = [self._slot(100, True), self._slot(200, False)]
        self.number = 0

    def _slot(self, ssrc: int, rtx: bool) -> tuple[Slot, SlotModel]:
        slot = self.subscriber.transport.add_slot(f"m{ssrc}", ssrc, rtx_ssrc=ssrc + 1 if rtx else None, audio=False)
        slot.map_payload(Kind.VP8, 120, 121 if rtx else None)
        slot.map_payload(Kind.VP9, 122, 123 if rtx else None)
        slot.map_payload(Kind.H264, 124, 125 if rtx else None)
        mapped: dict[Kind, tuple[int, int | None]] = {
            Kind.VP8: (120, 121 if rtx else None),
            Kind.VP9: (122, 123 if rtx else None),
            Kind.H264: (124, 125 if rtx else None),
        }
        model = SlotModel(f"m{ssrc}", ssrc, ssrc + 1 if rtx else None, False, mapped, RECEIVE, self.send_map)
        return slot, model

    def payload(self, payload_type: int, picture: int, *, key: bool) -> bytes:
        rng = self.rng
        if rng.random() < 0.05:
            return rng.randbytes(rng.randrange(12))
        wide = (0x8000 | picture).to_bytes(2, "big")
        layer = bytes((picture & 0xFF,))
        if payload_type == H264:
            return (b"\x65" if key else b"\x41") + rng.randbytes(8)
        if payload_type == VP9:
            return self.vp9(wide, layer, key=key)
        frame = KEYFRAME[1:] if key else DELTA[1:]
        if rng.random() < 0.5:
            temporal = bytes((rng.choice([0x00, 0x40, 0x60, 0x80, 0xA0, 0xC0]),))
            return rng.choice([b"\x90", b"\x80"]) + b"\xe0" + wide + layer + temporal + frame
        head = rng.choice(
            [b"\x10", b"\x90\x80" + wide, b"\x90\xc0" + wide + layer, b"\x90\xe0" + wide + layer + b"\x40"]
        )
        return rng.choice([head, head, b"\x90\x80" + bytes((picture & 0x7F,))]) + frame

    def vp9(self, wide: bytes, layer: bytes, *, key: bool) -> bytes:
        """Flexible or not, with and without layers, beginning, end, reference indices and scalability structure."""
        rng = self.rng
        if rng.random() < 0.3:
            return bytes((0xA8 if key else 0xE8,)) + wide + b"\x00" + layer + rng.randbytes(8)
        first = 0xA8 if key else 0xA0 | rng.choice([0x00, 0x40]) | rng.choice([0x00, 0x08, 0x10])
        first |= rng.choice([0, 0x04]) | rng.choice([0, 0, 0x02])
        ids = 0 if key else rng.randrange(4) << 5 | rng.choice([0, 0x10]) | rng.randrange(4) << 1
        indices = b"" if first & 0x10 else layer
        return bytes((first,)) + wide + bytes((ids,)) + indices + rng.randbytes(rng.randrange(20))

    def descriptor(self, number: int, *, key: bool) -> bytes:
        """With and without a structure, sometimes with parts of its own or cut off."""
        rng = self.rng
        structure = rng.choice([L1T3, L1T3, L2T1])
        own = rng.random() < 0.2
        data = descriptor(
            rng.randrange(len(structure.templates)),
            number,
            structure=structure,
            attach=key or rng.random() < 0.1,
            start=rng.random() < 0.7,
            end=rng.random() < 0.7,
            active=rng.randrange(4) if own else None,
            indications=[rng.randrange(4) for _ in range(structure.targets)] if rng.random() < 0.1 else None,
            differences=[rng.randrange(1, 300)] if own else None,
        )
        return data if rng.random() < 0.95 else data[: rng.randrange(1, 1 + len(data))]

    def packets(self, index: int) -> list[RtpPacket]:
        rng, source = self.rng, self.source[index]
        result = []
        payload_type = rng.choices([VIDEO, VP9, H264], [20, 6, 6])[0]
        key = rng.random() < 0.3
        source[2] = (source[2] + 1) % 2**15
        if rng.random() < 0.02:
            source[0] += rng.choice([300, 2000, 5000])  # SRTP senders cannot skip 2**15
        for part in range(rng.randrange(1, 5)):
            extensions = tuple(
                (identifier, rng.randbytes(rng.choice([1, 2, 3, 5, 16])))
                for identifier in rng.sample([*RECEIVE, 12, 14], rng.randrange(5))
            )
            if payload_type == H264 and rng.random() < 0.9:
                extensions = (*[each for each in extensions if each[0] != 5], (5, self.descriptor(source[2], key=key)))
            result.append(
                RtpPacket(
                    payload_type,
                    source[0] & 0xFFFF,
                    source[1] & 0xFFFFFFFF,
                    10 + index,
                    self.payload(payload_type, source[2], key=key and part == 0),
                    marker=rng.random() < 0.3,
                    csrcs=tuple(range(rng.choice([0, 0, 0, 15]))),
                    extensions=extensions,
                    padding_bytes=rng.choice([0, 0, 0, 7]),
                )
            )
            source[0] += 1
        source[1] += 3000
        return result

    def traffic(self) -> None:
        rng = self.rng
        index = rng.randrange(len(self.streams))
        stream, model, peer = self.streams[index]
        packets = [packet for packet in self.packets(index) if rng.random() > 0.1]
        batch = []
        for packet in rng.sample(packets, len(packets)) if rng.random() < 0.3 else packets:
            datagram = peer.datagram(packet, two_byte=rng.random() < 0.1)
            batch.append((datagram, packet, False))
            if rng.random() < 0.1:
                batch.append((datagram, packet, True))
        self.exchange.forwarder.feed([datagram for datagram, _, _ in batch])
        self.compare(model, [(packet, False) for _, packet, replayed in batch if not replayed])
        missing = sorted(model.missing())
        assert sorted(stream.still_missing(range(0x10000))) == missing if rng.random() < 0.02 else True
        if missing and rng.random() < 0.5:
            self.repair(index, rng.choice(missing))
        if rng.random() < 0.05:
            self.repair(index, self.source[index][0] - rng.randrange(1, 1500) & 0xFFFF)

    def repair(self, index: int, number: int) -> None:
        _, model, peer = self.streams[index]
        packet = RtpPacket(VIDEO, number, self.source[index][1] & 0xFFFFFFFF, 10 + index, DELTA)
        rtx = wrap_rtx(packet, payload_type=RTX, sequence_number=self.repairs[index] & 0xFFFF, ssrc=20 + index)
        self.repairs[index] += 1
        self.exchange.forwarder.feed([peer.datagram(rtx)])
        self.compare(model, [(packet, True)])

    def compare(self, model: StreamModel, packets: list[tuple[RtpPacket, bool]]) -> None:
        now_us = round(self.exchange.now * 1e6)
        work = [model.receive(packet, repaired=repaired) for packet, repaired in packets]
        expected = [
            model_slot.forward(model, *item, now_us) for model_slot in list(model.followers) for item in work if item
        ]
        self.expect([packet for packet in expected if packet])

    def expect(self, packets: list[RtpPacket]) -> None:
        identifier = self.send_map.get(Extension.TRANSPORT_SEQUENCE)
        received = [self.subscriber.inbound.unprotect(data) for data in self.subscriber.raw()]
        assert len(received) == len(packets)
        for data, packet in zip(received, packets, strict=True):
            if identifier is not None:
                numbered = [
                    (name, self.number.to_bytes(2, "big") if name == identifier else value)
                    for name, value in packet.extensions
                ]
                packet = replace(packet, extensions=tuple(numbered))
            self.number = (self.number + 1) & 0xFFFF
            if data[0] & 0x20:
                assert data[-1] == 1
                data = bytes((data[0] & 0xDF,)) + data[1:-1]
            assert data == build_rtp(packet)

    def nack(self) -> None:
        slot, model = self.slots[0]
        if not model.epochs:
            return
        numbers = [(model.highest - self.rng.randrange(-2, 300)) & 0xFFFF for _ in range(4)]
        answers = [model.retransmit(number, round(self.exchange.now * 1e6)) for number in numbers]
        assert slot.retransmit(numbers) == sum(found for found, _ in answers)
        self.expect([packet for _, packet in answers if packet])

    def follow(self) -> None:
        slot, model = self.rng.choice(self.slots)
        stream, stream_model, _ = self.rng.choice(self.streams)
        silent = self.rng.random() < 0.1
        slot.follow(None if silent else stream)
        model.follow(None if silent else stream_model)

    def limit(self) -> None:
        slot, model = self.rng.choice(self.slots)
        limits = self.rng.choice([(7, 7), (7, 7), (self.rng.randrange(4), 7), (7, 0), (7, 1), (1, 1), (0, 0)])
        slot.limit(*limits)
        model.limit(*limits)

    def toggle(self) -> None:
        muted = [entry for entry in self.streams if not entry[1].active]
        stream, model, _ = self.rng.choice(muted or self.streams)
        if model.active:
            model.interrupt()
        model.active = stream.active = not model.active

    def check(self) -> None:
        by_model: dict[int, Stream] = {id(model): stream for stream, model, _ in self.streams}
        for slot, slot_model in self.slots:
            assert slot.current() is by_model.get(id(slot_model.current))
            assert slot.target() is by_model.get(id(slot_model.target))

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.exchange.now = round(self.exchange.now + self.rng.choice([0, 0.001, 0.02, 0.5]), 3)
            action = self.rng.choices(
                [self.traffic, self.nack, self.follow, self.limit, self.toggle], [40, 6, 3, 3, 1]
            )[0]
            action()
            self.check()


@given(st.randoms(use_true_random=False))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_random_traffic_is_rewritten_as_the_model_says(rng: random.Random) -> None:
    with opened() as exchange:
        Scenario(exchange, random.Random(rng.randrange(2**32))).run(300)
