"""Plots as SVG and PNG that can be read on light and dark pages, and what a reader must know about a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.daemon import REPOSITORY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = tuple[str, Sequence[float], Mapping[str, Sequence[float | None]]]
Course = tuple[str, Mapping[str, Sequence[tuple[float, float]]]]  # label, and of each line its (time, value)
COLOURS = ("#2a8fd6", "#e07b00", "#2f9e6f", "#b05cc9")
INK = "#808890"
DPI = 144


def circumstances() -> dict[str, str]:
    """When, where and what was measured."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in lines if "model name" in line), platform.machine())
    kernel = f"kernel {platform.release()}, python {platform.python_version()}"
    return {
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "machine": f"{os.cpu_count()} cores of {model}, {kernel}",
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "commit": commit,
    }


def _style() -> dict[str, object]:
    colours = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), INK)
    return {**colours, "svg.hashsalt": "turnd", "font.size": 9}


def _finish(axes: Iterable[Axes]) -> None:
    for axis in axes:
        axis.set_ylim(bottom=0)
        axis.grid(color=INK, alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        if len(axis.get_legend_handles_labels()[0]) > 1:
            axis.legend(frameon=False)


def _write(path: Path, figure: Figure) -> None:
    figure.tight_layout()
    figure.savefig(path.with_suffix(".svg"), transparent=True, metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), transparent=True, dpi=DPI)


def save_plot(path: Path, title: str, x_label: str, panels: Sequence[Panel], *, log_x: bool = False) -> None:
    """One panel a quantity, side by side, over the same x; `path` without suffix."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context(_style()):
        figure, axes = pyplot.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.2), squeeze=False)
        for axis, (label, x, lines) in zip(axes[0], panels, strict=True):
            for (name, y), colour in zip(lines.items(), COLOURS, strict=False):
                axis.plot(
                    x,
                    [float("nan") if each is None else each for each in y],
                    marker="o",
                    markersize=4,
                    linewidth=1.8,
                    color=colour,
                    label=name,
                )
            axis.set(title=label, xlabel=x_label)
            if log_x:
                axis.set_xscale("log")
            axis.set_xticks(list(x), [f"{value:g}" for value in x], minor=False)
            axis.minorticks_off()
        _finish(axes[0])
        figure.suptitle(title)
        _write(path, figure)
        pyplot.close(figure)


def save_courses(path: Path, title: str, courses: Sequence[Course], shaded: tuple[float, float]) -> None:
    """One panel a quantity, one above the other, over the same seconds; `path` without suffix."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context(_style()):
        figure, axes = pyplot.subplots(len(courses), 1, figsize=(8, 2.1 * len(courses)), squeeze=False, sharex=True)
        for axis, (label, lines) in zip(axes[:, 0], courses, strict=True):
            axis.axvspan(*shaded, color=INK, alpha=0.15, linewidth=0)
            for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
                axis.plot(*zip(*points, strict=True), drawstyle="steps-post", linewidth=1.3, color=colour, label=name)
            axis.set(ylabel=label)
        _finish(axes[:, 0])
        axes[-1, 0].set(xlabel="seconds")
        figure.suptitle(title)
        _write(path, figure)
        pyplot.close(figure)
