from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from signalling.turnstile import BUDGET_SECONDS, Rank, Turnstile


class Bench:
    """Work that takes time on a clock of its own, and notes the turn of the loop it was done in."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = asyncio.get_running_loop()
        self.turnstile = Turnstile(self.loop, lambda: self.now)
        self.turn = 0
        self.done: list[tuple[int, str]] = []

    def work(self, name: str, seconds: float) -> Callable[[], str]:
        def run() -> str:
            self.now += seconds
            self.done.append((self.turn, name))
            return name

        return run

    def start(self, name: str, seconds: float, rank: Rank = Rank.STAGE) -> asyncio.Task[str]:
        return self.loop.create_task(self.turnstile.run(rank, self.work(name, seconds)))

    def count_turns(self) -> None:
        self.turn += 1
        if self.turnstile.waiting:
            self.loop.call_soon(self.count_turns)

    async def all(self, *tasks: asyncio.Task[str]) -> None:
        self.loop.call_soon(self.count_turns)
        await asyncio.gather(*tasks)


async def test_work_gives_its_result() -> None:
    bench = Bench()
    assert await bench.start("a", 0) == "a"


async def test_work_gives_its_error() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await Bench().turnstile.run(Rank.STAGE, fail)


async def test_cheap_work_shares_a_turn() -> None:
    bench = Bench()
    await bench.all(*(bench.start(str(number), BUDGET_SECONDS / 8) for number in range(8)))
    assert len({turn for turn, _ in bench.done}) == 1


async def test_work_over_the_budget_waits_for_a_later_turn_of_the_loop() -> None:
    bench = Bench()
    await bench.all(*(bench.start(str(number), BUDGET_SECONDS) for number in range(4)))
    turns = [turn for turn, _ in bench.done]
    assert sorted(set(turns)) == turns


async def test_what_the_caller_does_after_its_turn_counts_too() -> None:
    bench = Bench()
    turns: list[int] = []

    async def walk() -> None:
        await bench.turnstile.turn(Rank.ARRIVAL, BUDGET_SECONDS / 2)
        turns.append(bench.turn)

    walks = [bench.loop.create_task(walk()) for _ in range(6)]
    bench.loop.call_soon(bench.count_turns)
    await asyncio.gather(*walks)
    assert [turns.count(turn) for turn in sorted(set(turns))] == [2, 2, 2]


async def test_stage_goes_before_audience() -> None:
    bench = Bench()
    viewers = [bench.start(f"viewer {number}", BUDGET_SECONDS, Rank.AUDIENCE) for number in range(2)]
    speaker = bench.start("speaker", BUDGET_SECONDS)
    await bench.all(*viewers, speaker)
    assert [name for _, name in bench.done] == ["speaker", "viewer 0", "viewer 1"]


async def test_who_is_cancelled_is_passed_over() -> None:
    bench = Bench()
    first, second = bench.start("a", BUDGET_SECONDS), bench.start("b", BUDGET_SECONDS)
    third = bench.start("c", BUDGET_SECONDS)
    bench.loop.call_soon(second.cancel)
    await bench.all(first, third)
    assert [name for _, name in bench.done] == ["a", "c"]
    assert bench.turnstile.waiting == 0
