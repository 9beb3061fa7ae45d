"""What the gate of sfu.forward lets go on, in plain Python."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

SPEECH_LEVEL, LOUD_LEVEL, LOUDER_DB = 50, 35, 10
HOLD_US = 2_000_000


@dataclass(eq=False)
class Talker:
    """One stream; levels in sixteenths of a dB below full scale."""

    loudness: int = 127 * 16
    spoke_us: int = 0
    seated_us: int = 0


@dataclass
class GateModel:
    """The seats of a room."""

    limit: int
    talkers: dict[Hashable, Talker] = field(default_factory=dict)
    seats: list[Hashable] = field(default_factory=list)

    def admit(self, name: Hashable, level: int, voice: bool, now_us: int) -> bool:
        """Whether this packet goes on."""
        talker = self.talkers.setdefault(name, Talker())
        talker.loudness += (level * 16 - talker.loudness) >> 3
        speech = level <= (SPEECH_LEVEL if voice else LOUD_LEVEL)
        if speech:
            talker.spoke_us = now_us
        if name in self.seats or not self.limit:
            return True
        if len(self.seats) >= self.limit:
            leaver = self._who_yields(level, now_us) if speech else None
            if leaver is None:
                return False
            self._leave(leaver)
        self.seats.append(name)
        talker.seated_us = now_us
        return True

    def _who_yields(self, level: int, now_us: int) -> Hashable | None:
        silent = min(self.seats, key=lambda name: self.talkers[name].spoke_us)
        if now_us - self.talkers[silent].spoke_us >= HOLD_US:
            return silent
        settled = [name for name in self.seats if now_us - self.talkers[name].seated_us >= HOLD_US]
        quietest = max(settled, key=lambda name: self.talkers[name].loudness, default=None)
        if quietest is not None and (level + LOUDER_DB) * 16 <= self.talkers[quietest].loudness:
            return quietest
        return None

    def set_limit(self, limit: int) -> None:
        """Who has been silent longest goes first."""
        self.limit = limit
        while len(self.seats) > limit:
            self._leave(min(self.seats, key=lambda name: self.talkers[name].spoke_us))

    def _leave(self, name: Hashable) -> None:
        self.seats[self.seats.index(name)] = self.seats[-1]
        self.seats.pop()
