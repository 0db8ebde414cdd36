"""Draws throughput and p99 of `get one` from 1 to 1,000 connections, this service beside the limit."""

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.bench.servers import Target, Window

if TYPE_CHECKING:
    from tests.bench.compare import Bench

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 100, 200, 400, 700, 1000)
COLOURS = {"this service": "#1b9e77", "limit": "#666666"}


def draw(bench: "Bench", targets: list[Target], rounds: int, file: Path) -> None:
    """Measure each number of connections in turns, and draw the medians of the rounds."""
    compared = [target for target in targets if target.name in COLOURS]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharex=True, layout="constrained")
    measured: dict[str, dict[int, list[Window]]] = {
        target.name: {connections: [] for connections in CONNECTIONS} for target in compared
    }
    for target in compared:  # what is cold is not measured
        bench.window(target, "get one", connections=CONNECTIONS[-1])
    for connections in CONNECTIONS:
        for number in range(rounds):
            for target in compared if number % 2 else reversed(compared):
                window = bench.window(target, "get one", connections=connections)
                measured[target.name][connections].append(window)
        print(f"{connections:>5} connections: " + ", ".join(_told(measured, name, connections) for name in measured))
    for name, windows in measured.items():
        _line(axes[0], name, [median(window.rate for window in each) for each in windows.values()])
        _line(axes[1], name, [median(window.p99 for window in each) for each in windows.values()])
    axes[0].set(title="requests a second", ylim=(0, None))
    axes[1].set(title="p99, milliseconds", yscale="log")
    for axis in axes:
        axis.set(xscale="log", xlabel="connections")
        axis.set_xticks([1, 4, 16, 64, 400, 1000], ["1", "4", "16", "64", "400", "1,000"])
        axis.minorticks_off()
        axis.grid(visible=True, which="major", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(file, dpi=110)
    print(f"Drew {file}.")


def _line(axis: Axes, name: str, values: list[float]) -> None:
    axis.plot(CONNECTIONS, values, marker="o", color=COLOURS[name], label=name, linewidth=1.8)


def _told(measured: dict[str, dict[int, list[Window]]], name: str, connections: int) -> str:
    windows = measured[name][connections]
    rate, p99 = median(window.rate for window in windows), median(window.p99 for window in windows)
    return f"{name} {rate:.0f}/s, p99 {p99:.1f} ms, {sum(window.errors for window in windows)} errors"
