from __future__ import annotations

from turnd.turn.channel import MAX_CHANNELS, Binding, Channels

A, B = ("192.0.2.1", 1), ("192.0.2.1", 2)


def test_a_channel_lives_600_seconds() -> None:
    channels = Channels()
    assert channels.bind(0x4000, A, 10.0) == 610.0
    assert channels.peer(0x4000, 609.9) == A
    assert channels.peer(0x4000, 610.0) is None


def test_number_and_peer_belong_to_each_other() -> None:
    channels = Channels()
    channels.bind(0x4000, A, 0.0)
    assert channels.check(0x4000, A, 1.0) is Binding.POSSIBLE
    assert channels.check(0x4000, B, 1.0) is Binding.CONFLICT
    assert channels.check(0x4001, A, 1.0) is Binding.CONFLICT
    assert channels.check(0x4001, B, 1.0) is Binding.POSSIBLE


def test_expired_bindings_do_not_stand_in_the_way() -> None:
    channels = Channels()
    channels.bind(0x4000, A, 0.0)
    channels.bind(0x4001, B, 0.0)
    assert channels.check(0x4000, B, 600.0) is Binding.POSSIBLE
    assert len(channels) == 0


def test_full_unless_one_expired() -> None:
    channels = Channels()
    for number in range(MAX_CHANNELS):
        channels.bind(0x4000 + number, ("192.0.2.9", number + 1), float(number))
    assert channels.check(0x4FFF, A, 599.0) is Binding.FULL
    assert channels.check(0x4000, ("192.0.2.9", 1), 599.0) is Binding.POSSIBLE
    assert channels.check(0x4FFF, A, 600.0) is Binding.POSSIBLE
