"""A person's pictures and sounds over time: every shown frame and ten samples a second of what the browser counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.e2e.call import Person

# Frames by requestVideoFrameCallback, counters by getStats; `received` is what the server says it sends and why.
RECORDER = """(() => {
  const call = document.querySelector('turnd-call').call;
  const record = {start: performance.now(), frames: {}, samples: [], received: []};
  globalThis.recording = record;
  const now = () => (performance.now() - record.start) / 1000;
  const watched = new WeakSet();
  const watch = () => {
    for (const video of document.querySelectorAll('video[data-participant]')) {
      if (watched.has(video)) continue;
      watched.add(video);
      const shown = (_, frame) => {
        const key = `${video.dataset.participant}/${video.dataset.source}`;
        (record.frames[key] ??= []).push([now(), frame.width]);
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    }
  };
  call.signalling.on('received', (message) => record.received.push({at: now(), ...message}));
  const sample = async () => {
    watch();
    const connection = call.subscribeConnection;
    if (!connection) return;
    const at = now();
    const streams = [...(await connection.getStats()).values()].filter((each) => each.type === 'inbound-rtp');
    record.samples.push(...streams.map((each) => ({
      at, kind: each.kind, mid: each.mid ?? '', bytes: each.bytesReceived ?? 0, width: each.frameWidth ?? 0,
      frames: each.framesDecoded ?? 0, frozen: each.totalFreezesDuration ?? 0, freezes: each.freezeCount ?? 0,
      samples: each.totalSamplesReceived ?? 0, concealed: each.concealedSamples ?? 0,
      silent: each.silentConcealedSamples ?? 0, packets: each.packetsReceived ?? 0, lost: each.packetsLost ?? 0,
      nacks: each.nackCount ?? 0})));
  };
  setInterval(sample, 100);
  sample();
})()"""


@dataclass(frozen=True)
class Sample:
    """What one receiver had counted at a moment; names as in getStats, shortened."""

    at: float
    kind: str
    mid: str
    bytes: int
    width: int
    frames: int
    frozen: float
    freezes: int
    samples: int
    concealed: int
    silent: int
    packets: int
    lost: int
    nacks: int


@dataclass(frozen=True)
class Timeline:
    """A recording; times are seconds since it began."""

    now: float
    frames: dict[str, list[tuple[float, int]]]  # "participant/source" -> (when shown, width)
    samples: list[Sample]
    received: list[dict[str, object]]

    def longest_gap(self, key: str, since: float, until: float) -> float:
        """The longest time without a new frame within the span, its ends included."""
        shown = [at for at, _ in self.frames.get(key, []) if since <= at <= until]
        return max(after - before for before, after in pairwise([since, *shown, until]))

    def moves_since(self, key: str, since: float) -> float | None:
        """When the picture began to move, after the last second in which it stood; None if it stands."""
        shown = [at for at, _ in self.frames.get(key, []) if at > since]
        if not shown or self.now - shown[-1] > 1.0:
            return None
        return next((after for before, after in reversed([*pairwise(shown)]) if after - before > 1.0), shown[0])

    def width_at(self, key: str, when: float) -> int:
        """The width of the picture shown then, 0 when there was none yet."""
        return next((width for at, width in reversed(self.frames.get(key, [])) if at <= when), 0)

    def first(self, key: str, since: float, fits: Callable[[int], bool]) -> float | None:
        """When a frame whose width `fits` was first shown after `since`."""
        return next((at for at, width in self.frames.get(key, []) if at >= since and fits(width)), None)

    def rate_bps(self, since: float, until: float) -> float:
        """All media received within the span."""
        total = 0
        for mid in {sample.mid for sample in self.samples}:
            span = [sample for sample in self.samples if sample.mid == mid and since <= sample.at <= until]
            total += span[-1].bytes - span[0].bytes if span else 0
        return 8 * total / (until - since)

    def concealment(self, mid: str, since: float, until: float) -> float:
        """The part of the sound played within the span that was made up, silence not counted."""
        first, last = self._counted(mid, since), self._counted(mid, until)
        played = last.samples - first.samples
        made_up = (last.concealed - last.silent) - (first.concealed - first.silent)
        return made_up / played if played else 0.0

    def _counted(self, mid: str, when: float) -> Sample:
        """The last count up to then, or the first there was."""
        samples = [sample for sample in self.samples if sample.mid == mid]
        return next((sample for sample in reversed(samples) if sample.at <= when), samples[0])

    def share(self, key: str, since: float, fits: Callable[[int], bool]) -> float:
        """The part of the frames shown after `since` whose width `fits`."""
        widths = [width for at, width in self.frames.get(key, []) if at > since]
        return sum(map(fits, widths)) / len(widths)

    def heard_at(self, since: float) -> float | None:
        """When the first sound arrived after `since`."""
        before: dict[str, int] = {}
        for sample in self.samples:
            if sample.kind == "audio" and sample.at > since and sample.packets > before.get(sample.mid, sample.packets):
                return sample.at
            before[sample.mid] = sample.packets
        return None

    def sounding(self) -> Sequence[str]:
        """The m-lines that carried sound."""
        return sorted({sample.mid for sample in self.samples if sample.kind == "audio" and sample.packets})


async def watch(person: Person) -> None:
    """Begins a recording in the person's page."""
    await person.browser.evaluate(RECORDER)


async def recorded(person: Person) -> Timeline:
    """What was recorded so far."""
    taken = await person.browser.evaluate("({...recording, now: (performance.now() - recording.start) / 1000})")
    return Timeline(
        taken["now"],
        {key: [(at, width) for at, width in shown] for key, shown in taken["frames"].items()},
        [Sample(**sample) for sample in taken["samples"]],
        taken["received"],
    )
