from __future__ import annotations

import random

import pytest

from turnd.turn.relay_ports import PortPool


def pool(first: int, last: int, excluded: tuple[int, ...] = ()) -> PortPool:
    return PortPool(first, last, random.Random(3).randrange, excluded)


def test_every_port_is_given_once() -> None:
    ports = pool(100, 109, (103,))
    assert sorted(ports.take() or 0 for _ in range(9)) == [100, 101, 102, 104, 105, 106, 107, 108, 109]
    assert ports.take() is None


def test_ports_come_in_no_order() -> None:
    ports = pool(1000, 1999)
    taken = [ports.take() or 0 for _ in range(100)]
    assert taken != sorted(taken)


def test_even_ports_are_even_and_run_out() -> None:
    ports = pool(100, 104)
    assert sorted(ports.take_even(pair=False) or 0 for _ in range(3)) == [100, 102, 104]
    assert ports.take_even(pair=False) is None
    assert len(ports) == 2


def test_a_pair_takes_both() -> None:
    ports = pool(101, 104, (102,))
    assert ports.take_even(pair=True) is None
    ports = pool(101, 103)
    assert ports.take_even(pair=True) == 102
    assert ports.take() == 101
    assert ports.take() is None


def test_released_ports_come_back_once() -> None:
    ports = pool(100, 100)
    assert ports.take() == 100
    ports.release(100)
    with pytest.raises(ValueError, match="free already"):
        ports.release(100)
    assert ports.take() == 100
