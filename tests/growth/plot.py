"""Draws `docs/growth.png` from the numbers of `make growth`."""

import csv
from collections import defaultdict

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.growth.measure import NUMBERS

PICTURE = NUMBERS.with_suffix(".png")
# `first page` of a user with 20 tasks, and pages in the middle of a list of 100,000.
SHOWN = (
    "first page",
    "page at 50,000 by offset",
    "page at 50,000 by cursor",
    "batch at 50,000",
    "get",
    "create",
    "toggle",
    "refresh",
    "sign-in",
    "prune",
)
COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d", "#1f78b4", "#666666", "#000000")


def main() -> None:
    """Two panels with one line for each operation: pages touched, and milliseconds."""
    lines: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    with NUMBERS.open() as file:
        for row in csv.DictReader(file):
            lines[row["operation"]].append((int(row["users"]), float(row["pages"]), float(row["milliseconds"])))
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), sharex=True, layout="constrained")
    for panel, (axis, title) in enumerate(
        zip(axes, ("pages of 8 KiB touched", "milliseconds in PostgreSQL"), strict=True)
    ):
        for name, colour in zip(SHOWN, COLOURS, strict=True):
            users, *measured = zip(*lines[name], strict=True)
            axis.plot(users, measured[panel], marker="o", color=colour, label=name, linewidth=1.8)
        axis.set(xscale="log", yscale="log", title=title, xlabel="users, with 20 tasks and a denied token each")
        axis.set_xticks(users, [f"{count:,}" for count in users])
        axis.grid(visible=True, which="major", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(PICTURE, dpi=110)
    print(f"Drew {PICTURE}.")


if __name__ == "__main__":
    main()
