"""`am.plot_model`: a model as a picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError
from ambos.core.unknown import is_unknown
from ambos.nn.module import Module
from ambos.train.summary import known_inputs, recorded, short
from ambos.viz.flow import Box, flow_of
from ambos.viz.layers import layered

Point = tuple[float, float]
MARGIN = 16.0
PADDING = 11.0
LINE = 16.0
TITLE, SMALL = 8.3, 6.4  # the width of a character, of titles and of what is below them
SIGNS = {"add": "+", "multiply": "\u00d7", "subtract": "-", "divide": "\u00f7"}
ROUND = 26.0

# A layer's colour goes by the file of `ambos.nn` that its class comes from: (light, dark).
COLOURS = {
    "convolution": ("#cfe2ff", "#1d3f6e"), "transposed": ("#cfe2ff", "#1d3f6e"),
    "linear": ("#d3f0dc", "#1d5133"), "lora": ("#d3f0dc", "#1d5133"),
    "embedding": ("#fbd9e6", "#672a43"), "attention": ("#ffdccb", "#70361b"),
    "transformer": ("#ffdccb", "#70361b"), "recurrent": ("#ffdccb", "#70361b"),
    "activation": ("#fff0c2", "#5f4a10"), "rectifiers": ("#fff0c2", "#5f4a10"),
    "gates": ("#fff0c2", "#5f4a10"), "gated": ("#fff0c2", "#5f4a10"),
    "cells": ("#ffdccb", "#70361b"), "experts": ("#d3f0dc", "#1d5133"),
    "pooling": ("#e4dcfb", "#42307a"), "unpooling": ("#e4dcfb", "#42307a"),
    "normalization": ("#e3e8ee", "#39424e"), "groups": ("#e3e8ee", "#39424e"),
    "dropout": ("#eeeeee", "#333333"), "reshaping": ("#eeeeee", "#333333"),
    "padding": ("#eeeeee", "#333333"),
}  # fmt: skip
OTHER = ("#dff3f6", "#1b4c55")
STYLE = """
.am-plot text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;text-anchor:middle}
.am-plot .small{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}
@media (prefers-color-scheme:dark){
.am-plot .paper{fill:#16191d}.am-plot .title{fill:#f2f4f7}.am-plot .small{fill:#aab4c0}
.am-plot .box{stroke:#66717e}.am-plot .edge{stroke:#8b97a5}.am-plot .skip{stroke:#ff9d5c}
.am-plot .head{fill:#8b97a5}.am-plot .skip-head{fill:#ff9d5c}
%s}
"""


class Drawing:
    """A picture as the text of an SVG file, which notebooks show."""

    def __init__(self, svg: str, title: str) -> None:
        self.svg, self.title = svg, title

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<drawing of {self.title}: {len(self.svg)} characters of SVG>"


@checked
def plot_model(
    model: Module,
    input: Any = None,
    to_file: str | os.PathLike[str] | None = "model.svg",
    show_shapes: bool = True,
    show_layer_names: bool = True,
    show_parameters: bool = False,
    depth: int | None = None,
    rankdir: str = "TB",
) -> Drawing:
    """Draw how data flows through a model: its modules, the operations between them, and the edges,
    those that skip layers in a colour of their own.

    `input` is the shape of one example, or a batch, or a list of either for several inputs (without
    it, those of a functional model or of the last `fit`). Below `depth` levels a module is one box.
    `rankdir` is "TB" (from top to bottom) or "LR" (from left to right). The file is SVG, readable
    on light and dark pages; with `to_file=None` none is written. Nothing is computed.

    Errors: ArgumentError without an input, for another kind of file or direction; those of the
        layers for such an input; TracingError where the model looks at values.

    Example:
        >>> import ambos as am
        >>> net = am.nn.Sequential(am.nn.Linear(4, 8), am.nn.ReLU(), am.nn.Linear(8, 2))
        >>> "Linear" in plot_model(net, (4,), to_file=None).svg
        True
    """
    if not isinstance(model, Module):
        raise ArgumentError(f"plot_model: got {type(model).__name__}; need an nn.Module")
    if rankdir not in ("TB", "LR"):
        raise ArgumentError(f"plot_model: rankdir is {rankdir!r}; need 'TB' or 'LR'")
    if to_file is not None and Path(to_file).suffix.lower() != ".svg":
        raise ArgumentError(f"plot_model: to_file is {str(to_file)!r}; need a name that ends in "
                            ".svg, which browsers show and convert")  # fmt: skip
    if depth is not None and depth < 1:
        raise ArgumentError(f"plot_model: depth is {depth}; need at least 1")
    example = known_inputs(model) if input is None else input
    if example is None:
        raise ArgumentError("plot_model: no input; need the shape of one example, such as "
                            f"plot_model(model, {_an_example(model)})")  # fmt: skip
    recording, batch = recorded("plot_model", model, example)
    flow = flow_of(recording, depth)
    labels = [_labels(b, batch, show_shapes, show_layer_names, show_parameters) for b in flow.boxes]
    title = type(model.__dict__.get("network") or model).__name__
    drawing = Drawing(_svg(flow.boxes, labels, flow.edges, rankdir == "LR", title), title)
    if to_file is not None:
        drawing.save(to_file)
    return drawing


def _an_example(model: Module) -> str:
    """Shapes of inputs that it takes, as far as it says."""
    graph = model.__dict__.get("graph")
    if graph is None:
        return "(3, 224, 224)"
    shapes = [tuple(32 if is_unknown(n) else n for n in node.shape[1:]) for node in graph.inputs]
    return repr(shapes if shapes[1:] else shapes[0])


def _labels(box: Box, batch: int | None, shapes: bool, names: bool, parameters: bool) -> list[str]:
    """The lines of a box: its title first."""
    lines = [SIGNS.get(box.title, box.title) if box.kind == "op" else box.title]
    if names and box.kind == "module" and box.path:
        lines.append(box.path)
    if shapes and (box.kind != "op" or len(lines[0]) > 1):
        lines += [_shape(shape, batch) for shape in list(dict.fromkeys(box.shapes))[:2]]
    if parameters and box.parameters:
        lines.append(f"{short(box.parameters)} parameters")
    return lines


def _shape(shape: tuple[int, ...], batch: int | None) -> str:
    sizes = ["N" if not i and n == batch else str(n) for i, n in enumerate(shape)]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _size(box: Box, lines: list[str]) -> Point:
    if box.kind == "op" and len(lines) == 1 and len(lines[0]) == 1:
        return ROUND, ROUND
    width = max(len(lines[0]) * TITLE, *(len(line) * SMALL for line in lines[1:]), 34.0)
    return width + 2 * PADDING, len(lines) * LINE + PADDING


def _svg(
    boxes: list[Box], labels: list[list[str]], edges: list[tuple[Box, Box]], across: bool,
    title: str,
) -> str:  # fmt: skip
    number = {box: place for place, box in enumerate(boxes)}
    sizes = [_size(box, lines) for box, lines in zip(boxes, labels, strict=True)]
    pairs = [(number[a], number[b]) for a, b in edges]
    placed = layered([size[::-1] for size in sizes] if across else sizes, pairs)
    turn = (lambda p: (p[1] + MARGIN, p[0] + MARGIN)) if across else (
        lambda p: (p[0] + MARGIN, p[1] + MARGIN))  # fmt: skip
    width, height = turn((placed.width, placed.height))
    width, height = width + MARGIN, height + MARGIN
    dark = {_class(box): _colours(box)[1] for box in boxes}
    rules = "".join(f".am-plot .{name}{{fill:{colour}}}" for name, colour in sorted(dark.items()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="am-plot" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE % rules}</style>",
        _marker("am-head", "head", "#5c6b7a"), _marker("am-skip", "skip-head", "#d9661f"),
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="8" fill="#ffffff"/>',
    ]  # fmt: skip
    for route in sorted(placed.routes, key=len, reverse=True):
        parts.append(_edge([turn(point) for point in route], len(route) > 2, across))
    for box, lines, centre, size in zip(boxes, labels, placed.centres, sizes, strict=True):
        parts += _box(box, lines, turn(centre), size)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _marker(name: str, kind: str, colour: str) -> str:
    return (f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" '
            f'markerHeight="6.5" orient="auto"><path class="{kind}" d="M0 .8 7.5 4 0 7.2z" '
            f'fill="{colour}"/></marker>')  # fmt: skip


def _edge(route: list[Point], skips: bool, across: bool) -> str:
    """A smooth line: curves between layers, straight beside their boxes."""
    steps = [f"M{route[0][0]:.1f} {route[0][1]:.1f}"]
    for number, ((x0, y0), (x1, y1)) in enumerate(pairwise(route)):
        if number % 2:
            steps.append(f"L{x1:.1f} {y1:.1f}")
        elif across:
            middle = (x0 + x1) / 2
            steps.append(f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
        else:
            middle = (y0 + y1) / 2
            steps.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    kind, colour, head = ("skip", "#d9661f", "am-skip") if skips else ("edge", "#5c6b7a", "am-head")
    return (f'<path class="{kind}" d="{"".join(steps)}" fill="none" stroke="{colour}" '
            f'stroke-width="1.4" marker-end="url(#{head})"/>')  # fmt: skip


def _box(box: Box, lines: list[str], centre: Point, size: Point) -> Iterator[str]:
    (x, y), (width, height) = centre, size
    radius = height / 2 if box.kind != "module" else 6
    dash = ' stroke-dasharray="4 3"' if box.kind in ("input", "output") else ""
    yield (f'<rect class="box {_class(box)}" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" '
           f'width="{width:.1f}" height="{height:.1f}" rx="{min(radius, 14):.0f}" '
           f'fill="{_colours(box)[0]}" stroke="#8a97a6"{dash}/>')  # fmt: skip
    top = y - (len(lines) - 1) * LINE / 2 + 4.5
    for place, line in enumerate(lines):
        kind = 'class="small" font-size="10.5" fill="#4a5663"' if place else (
            'class="title" font-size="13" font-weight="600" fill="#16202b"')  # fmt: skip
        yield f'<text {kind} x="{x:.1f}" y="{top + place * LINE:.1f}">{escape(line)}</text>'


def _colours(box: Box) -> tuple[str, str]:
    if box.kind != "module" or box.call is None:
        return ("#ffffff", "#20252b")
    return COLOURS.get(_family(box), OTHER)


def _family(box: Box) -> str:
    """The file of the nearest class of `ambos.nn` that a module's class comes from."""
    for kind in type(box.call.module).__mro__ if box.call is not None else ():
        room, _, file = kind.__module__.rpartition(".")
        if room == "ambos.nn" and file in COLOURS:
            return file
    return "other"


def _class(box: Box) -> str:
    return f"f-{_family(box)}" if box.kind == "module" else "f-plain"
