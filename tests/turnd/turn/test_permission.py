from __future__ import annotations

from turnd.turn.permission import MAX_PERMISSIONS, PERMISSION_SECONDS, Permissions


def test_a_permission_lives_300_seconds() -> None:
    permissions = Permissions()
    assert permissions.install("192.0.2.1", 10.0) == 10.0 + PERMISSION_SECONDS == 310.0
    assert permissions.live("192.0.2.1", 309.9)
    assert not permissions.live("192.0.2.1", 310.0)
    assert not permissions.live("192.0.2.2", 10.0)


def test_the_bound_and_one_past_it() -> None:
    permissions = Permissions()
    hosts = {f"10.0.{number >> 8}.{number & 255}" for number in range(MAX_PERMISSIONS)}
    assert permissions.room_for(hosts, 0.0)
    assert not permissions.room_for(hosts | {"192.0.2.1"}, 0.0)


def test_expired_ones_make_room() -> None:
    permissions = Permissions()
    for number in range(MAX_PERMISSIONS):
        permissions.install(f"10.0.{number >> 8}.{number & 255}", 0.0)
    assert not permissions.room_for({"192.0.2.1"}, 299.0)
    assert permissions.room_for({"192.0.2.1"}, 300.0)
    assert len(permissions) == 0


def test_a_permission_can_be_taken_back() -> None:
    permissions = Permissions()
    permissions.install("192.0.2.1", 0.0)
    permissions.install("192.0.2.2", 100.0)
    assert permissions.living(299.0) == [("192.0.2.1", 300.0), ("192.0.2.2", 400.0)]
    permissions.revoke("192.0.2.2")
    assert permissions.living(299.0) == [("192.0.2.1", 300.0)]
    assert permissions.living(300.0) == []
