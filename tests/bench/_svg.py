"""Two kinds of pictures, as SVG: bars of ratios with their goals, and lines over a logarithmic axis.

By hand: a plotting library would bring eight more pinned distributions, and writes its colours into the picture, where
a style sheet lets one file be read in light and in dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from xml.sax.saxutils import escape, quoteattr

_STYLE = """
    .back { fill: #f7f8fa } .t { fill: #1f2933 } .s { fill: #52606d } .grid { stroke: #d5dae1 } .one { stroke: #52606d }
    .good { fill: #2f80a8 } .short { fill: #c0722c } .goal { stroke: #1f2933 } .band { fill: #e4e7eb }
    .c0 { stroke: #2f80a8; fill: #2f80a8 } .c1 { stroke: #c0722c; fill: #c0722c }
    .c2 { stroke: #6b5ca5; fill: #6b5ca5 } .line { fill: none; stroke-width: 2.5 }
    text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif; stroke: none }
    .h { font-size: 15px; font-weight: 600 } .b { font-size: 13px }
    @media (prefers-color-scheme: dark) {
      .back { fill: #1b1f24 } .t { fill: #e6e9ed } .s { fill: #a7b1bd } .grid { stroke: #3a434e }
      .one { stroke: #a7b1bd }
      .good { fill: #4aa3cf } .short { fill: #e09a54 } .goal { stroke: #e6e9ed } .band { fill: #2a3139 }
      .c0 { stroke: #4aa3cf; fill: #4aa3cf } .c1 { stroke: #e09a54; fill: #e09a54 }
      .c2 { stroke: #a99be0; fill: #a99be0 }
    }"""
_WIDTH = 640
_LEFT, _RIGHT = 300, 560  # where bars begin, and where the longest ends
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_BAR, _HEAD = 24, 34  # height of one, and of the line above a group


@dataclass(frozen=True)
class Bar:
    """``goal``: what it should reach, if that was said."""

    label: str
    ratio: float
    goal: float | None = None


def _svg(label: str, height: float, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label={quoteattr(label)}'
    back = f'<rect class="back" width="{_WIDTH}" height="{height:g}" rx="12"/>'
    body = "\n  ".join([f"<style>{_STYLE}\n  </style>", back, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>\n  {body}\n</svg>\n'


def _text(x: float, y: float, text: str, kind: str = "s b", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float, more: str = "") -> str:
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"{more}/>'


def bars(label: str, groups: Mapping[str, Sequence[Bar]], note: str) -> str:
    """Groups of bars on one axis from 0; a line marks 1, a tick each bar's goal."""
    most = max(1.2, *(max(bar.ratio, bar.goal or 0) for each in groups.values() for bar in each))
    height = 40.0 + sum(_HEAD + _BAR * len(each) for each in groups.values())

    def x(ratio: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * ratio / most, 1)

    parts, y = [_text(x(1), height - 14, "1", anchor="middle")], 0.0
    for name, each in groups.items():
        parts.append(_text(20, y + 28, name, "t h"))
        y += _HEAD
        parts.append(_line("one", x(1), y, x(1), y + _BAR * len(each)))
        for bar in each:
            kind = "good" if bar.goal is None or bar.ratio >= bar.goal else "short"
            parts += [
                _text(_LEFT - 10, y + 17, bar.label, anchor="end"),
                f'<rect class="{kind}" x="{_LEFT}" y="{y + 5:g}" width="{x(bar.ratio) - _LEFT:g}" height="15" rx="3"/>',
                _text(_WIDTH - 20, y + 17, f"{bar.ratio:.2f}", "t b", "end"),
            ]
            if bar.goal is not None:
                parts.append(_line("goal", x(bar.goal), y + 2, x(bar.goal), y + 23, ' stroke-width="3"'))
            y += _BAR
    return _svg(label, height, [*parts, _text(20, height - 14, note)])


def lines(label: str, series: Mapping[str, Sequence[tuple[int, float]]], goal: float, note: str) -> str:
    """Ratios over sizes; a band holds what the goal allows around 1."""
    left, right, top, bottom = 60, 610, 50, 250
    sizes = [size for points in series.values() for size, _ in points]
    most = max(goal + 0.35, *(ratio + 0.1 for points in series.values() for _, ratio in points))
    decades = range(round(log10(min(sizes))), round(log10(max(sizes))) + 1)

    def x(size: float) -> float:
        return round(left + (right - left) * (log10(size) - decades[0]) / max(1, decades[-1] - decades[0]), 1)

    def y(ratio: float) -> float:
        return round(bottom - (bottom - top) * ratio / most, 1)

    high, low = y(goal), y(2 - goal)
    parts = [
        f'<rect class="band" x="{left}" y="{high:g}" width="{right - left}" height="{low - high:g}"/>',
        _line("one", left, y(1), right, y(1)),
        _line("grid", left, y(0), right, y(0)),
        *(_text(left - 8, y(each) + 5, f"{each:g}", anchor="end") for each in (0, 0.5, 1)),
        *(_text(x(10**each), bottom + 20, f"10{_RAISED[each]}", anchor="middle") for each in decades),
    ]
    for number, (name, points) in enumerate(series.items()):
        path = " ".join(f"{x(size):g},{y(ratio):g}" for size, ratio in points)
        parts.append(f'<polyline class="c{number} line" points="{path}"/>')
        parts += [
            f'<circle class="c{number}" cx="{x(size):g}" cy="{y(ratio):g}" r="4"/>' for size, ratio in points
        ]
        place = left + 190 * number
        parts += [
            f'<circle class="c{number}" cx="{place}" cy="24" r="5"/>',
            _text(place + 12, 29, name, "t b"),
        ]
    return _svg(label, bottom + 56, [*parts, _text(20, bottom + 44, note)])
