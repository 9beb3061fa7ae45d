"""Plots as SVG and PNG that can be read on light and dark pages, and what a reader must know about a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.daemon import REPOSITORY

Panel = tuple[str, Sequence[float], Mapping[str, Sequence[float | None]]]
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


def save_plot(path: Path, title: str, x_label: str, panels: Sequence[Panel], *, log_x: bool = False) -> None:
    """One panel a quantity, side by side, over the same x; `path` without suffix."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    settings = {
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.edgecolor": INK,
    }
    with mpl.rc_context({**settings, "svg.hashsalt": "turnd", "font.size": 9}):
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
            axis.set_ylim(bottom=0)
            axis.grid(color=INK, alpha=0.25, linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
            if len(lines) > 1:
                axis.legend(frameon=False)
        figure.suptitle(title)
        figure.tight_layout()
        figure.savefig(path.with_suffix(".svg"), transparent=True, metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), transparent=True, dpi=DPI)
        pyplot.close(figure)
