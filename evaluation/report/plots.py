"""The report's plots as SVG: text stays text, and colours are the page's, so that they follow its theme."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskrt.errors import DependencyError
from maskrt.evaluation.report.figures import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 4.2
"""Inches of 72 units: a phone shows that many pixels, so that the text keeps its size there."""
_FONT_SIZE = 9.5
# Stand-ins for the page's own colours (see templates/report.css), which SVG inside of HTML can use.
_INK, _LINE = "#010203", "#010204"
_PAGE_COLORS = {
    _INK: "currentColor",
    _LINE: "var(--line)",
    **{f"#01030{number}": f"var(--plot-{number})" for number in range(1, 6)},
}
_PLOT_COLORS = [color for color, name in _PAGE_COLORS.items() if "plot" in name]


@dataclass(frozen=True)
class Point:
    """A model in the plot of accuracy against speed."""

    label: str
    images_per_second: float
    ap: float


def stage_bars(labels: Sequence[str], stages: Sequence[str], milliseconds: Sequence[Sequence[float]]) -> str:
    """Plot horizontal bars, one for each label, from its stages, [labels][stages] milliseconds."""
    with _figure(0.55 + 0.42 * len(labels), "bars") as (figure, axes):
        starts = [0.0] * len(labels)
        for position, stage in enumerate(stages):
            widths = [row[position] for row in milliseconds]
            axes.barh(labels, widths, left=starts, height=0.62, color=_PLOT_COLORS[position], label=stage, zorder=2)
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
        for label, total in zip(labels, starts, strict=True):
            axes.annotate(number(total), (total, label), (4, 0), textcoords="offset points", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.13 * max(starts))
        axes.set_xlabel("milliseconds")
        axes.grid(axis="x", color=_LINE, linewidth=0.6, zorder=0)
        axes.tick_params(length=0)
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False, handlelength=1
        )
        return _svg(figure)


def accuracy_against_speed(points: Sequence[Point], kind: str) -> str:
    """Plot a dot with its name for each model: right is faster, up is better. `kind` says which AP it is."""
    with _figure(2.7, "dots") as (figure, axes):
        speeds, aps = [point.images_per_second for point in points], [point.ap for point in points]
        # At least one point of AP high, so that a difference in the fourth digit does not look like a cliff.
        middle, half = (min(aps) + max(aps)) / 2, max(0.7 * (max(aps) - min(aps)), 0.005)
        axes.set_ylim(middle - half, middle + half)
        span = max(max(speeds) - min(speeds), 0.2 * max(speeds))
        axes.set_xlim(max(min(speeds) - 0.25 * span, 0), max(speeds) + 0.25 * span)
        axes.scatter(speeds, aps, s=46, color=_PLOT_COLORS[2], zorder=3)
        # Names of neighbours in speed stand above and below by turns, so that they keep apart.
        for turn, point in enumerate(sorted(points, key=lambda point: point.images_per_second)):
            axes.annotate(
                point.label,
                (point.images_per_second, point.ap),
                (0, -13 if turn % 2 else 12),
                textcoords="offset points",
                ha="center",
                va="center",
                fontweight="bold",
            )
        axes.set_xlabel("images per second")
        axes.set_ylabel(f"{kind} AP")
        axes.grid(color=_LINE, linewidth=0.6, zorder=0)
        axes.tick_params(length=0)
        return _svg(figure)


@contextmanager
def _figure(height: float, name: str) -> Iterator[tuple[Figure, Axes]]:
    """Make an empty plot in the page's style; `name` keeps the plots' identifiers apart."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(f"The report's plots need {error.name}: `pip install maskrt[report]`.") from None
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.size": _FONT_SIZE,
        "axes.edgecolor": _LINE,
        "axes.labelcolor": _INK,
        "text.color": _INK,
        "xtick.labelcolor": _INK,
        "ytick.labelcolor": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        yield figure, axes


def _svg(figure: Figure) -> str:
    """Write the figure as an `<svg>` element to stand inside of HTML."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z0-9.]+_\d+"', "", svg)  # the same names in each plot; nothing refers to them
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:", "")
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    for stand_in, color in _PAGE_COLORS.items():
        svg = svg.replace(stand_in, color)
    return svg.strip()
