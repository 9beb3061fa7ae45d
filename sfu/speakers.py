"""Who speaks: one dominant speaker of a room, from the audio levels that RTP headers carry (RFC 6464).

Levels are smoothed a little; to take the floor a voice must be the loudest for `TAKE_SECONDS` without a break, so a
cough or a door does not switch. The floor is given up after `RELEASE_SECONDS` of silence. `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_TALKERS = 6  # whose sound goes on where there are more than OPEN_MICROPHONES: more at once nobody understands
OPEN_MICROPHONES = 8  # so many may be on without a bound: those of a meeting in which each is heard
SILENCE = 127  # dBov below full scale, RFC 6464 §3
SPEECH_LEVEL = 50  # at least this loud (smaller is louder) counts as speech
MARGIN = 6  # dB by which a challenger must beat whoever has the floor, while that one speaks
TAKE_SECONDS = 0.4
RELEASE_SECONDS = 3.0
_SMOOTHING = 0.5


class Speakers:
    """Fed every 100 ms or so with what arrived since."""

    def __init__(self) -> None:
        self.current: str | None = None
        self._levels: dict[str, float] = {}
        self._challenger: str | None = None
        self._challenging_since = 0.0
        self._spoke_at = 0.0

    def observe(self, levels: Mapping[str, int], now: float) -> bool:
        """Takes the mean level of each talker since the last call (absent: silence); True when `current` changed."""
        for name in self._levels.keys() | levels.keys():
            level = levels.get(name, SILENCE)
            self._levels[name] = self._levels.get(name, SILENCE) * (1 - _SMOOTHING) + level * _SMOOTHING
        self._levels = {name: level for name, level in self._levels.items() if level < SILENCE - 1 or name in levels}
        own = self._levels.get(self.current, SILENCE) if self.current is not None else SILENCE
        if own <= SPEECH_LEVEL:
            self._spoke_at = now
        before = self.current
        if self.current is not None and now - self._spoke_at >= RELEASE_SECONDS:
            self.current = None
        self._challenge(own, now)
        return self.current != before

    def remove(self, name: str) -> bool:
        """Forgets who left; True when the floor became free."""
        self._levels.pop(name, None)
        if self._challenger == name:
            self._challenger = None
        if self.current != name:
            return False
        self.current = None
        return True

    def _challenge(self, own: float, now: float) -> None:
        loudest = min(self._levels, key=lambda name: (self._levels[name], name), default=None)
        if loudest is None or loudest == self.current or self._levels[loudest] > min(SPEECH_LEVEL, own - MARGIN):
            self._challenger = None
            return
        if self._challenger != loudest:
            self._challenger, self._challenging_since = loudest, now
        if now - self._challenging_since >= TAKE_SECONDS:
            self.current, self._challenger, self._spoke_at = loudest, None, now
