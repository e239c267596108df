"""Places for the boxes of a directed graph: a layered drawing, after Sugiyama.

Every box is one layer below the lowest that it depends on. An edge over several layers passes a
point in each, and points take part like boxes. The order within layers is improved by medians;
places follow sweep by sweep: each box is drawn to where its neighbours are (those above,
then those below), while the boxes of a layer keep their order and distance (isotonic regression).

Source: Sugiyama, Tagawa, Toda, "Methods for Visual Understanding of Hierarchical System
Structures", 1981; Gansner et al., "A Technique for Drawing Directed Graphs", 1993.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

GAP = 28.0  # between boxes of a layer
STREET = 34.0  # between layers
POINT = 10.0  # the width that a passing edge keeps free
SWEEPS = 24
PATIENCE = 4  # sweeps that may bring nothing


@dataclass
class Placed:
    """`centres` of the boxes, for each edge the points it passes (the ends included), and the size
    of the whole."""

    centres: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    width: float
    height: float


def layered(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Placed:
    """Places for boxes of these sizes. `edges` go from boxes to later ones (a cycle's edges that go
    back are drawn, but do not order the layers)."""
    return _Layout(sizes, edges).placed()


class _Layout:
    def __init__(
        self, sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]
    ) -> None:
        self.sizes, self.edges = list(sizes), list(edges)
        self.layer = self._layers()
        self.chains = [self._chain(a, b) for a, b in edges]
        self.above: list[list[int]] = [[] for _ in self.sizes]
        self.below: list[list[int]] = [[] for _ in self.sizes]
        for chain in self.chains:
            for upper, lower in pairwise(chain):
                self.above[lower].append(upper)
                self.below[upper].append(lower)
        count = max(self.layer, default=-1) + 1
        self.rows: list[list[int]] = [[] for _ in range(count)]
        for box, layer in enumerate(self.layer):
            self.rows[layer].append(box)
        self.boxes = len(sizes)

    def _layers(self) -> list[int]:
        """The longest path to each box; sources sink to just above what needs them first."""
        count = len(self.sizes)
        layer = [0] * count
        forward = [(a, b) for a, b in self.edges if a < b]
        for a, b in sorted(forward):
            layer[b] = max(layer[b], layer[a] + 1)
        fed = {b for _, b in forward}
        for box in range(count):
            needs = [layer[b] for a, b in forward if a == box]
            if box not in fed and needs:
                layer[box] = min(needs) - 1
        return layer

    def _chain(self, a: int, b: int) -> list[int]:
        """The boxes and points of an edge, from above to below."""
        upper, lower = sorted((a, b), key=self.layer.__getitem__)
        points = []
        for layer in range(self.layer[upper] + 1, self.layer[lower]):
            points.append(len(self.sizes))
            self.sizes.append((POINT, 0.0))
            self.layer.append(layer)
        return [upper, *points, lower]

    # The order within layers

    def _order(self) -> None:
        best, fewest = [row[:] for row in self.rows], self._crossings()
        place = [0.0] * len(self.sizes)  # in its layer, from 0 to 1
        for row in self.rows:
            _note_places(row, place)
        last = 0  # the sweep that brought something
        for sweep in range(SWEEPS):
            if not fewest or sweep > last + PATIENCE:
                break
            down = sweep % 2 == 0
            near = self.above if down else self.below
            for row in self.rows if down else reversed(self.rows):
                key = {
                    box: median(place[n] for n in near[box]) if near[box] else place[box]
                    for box in row
                }
                row.sort(key=key.__getitem__)
                _note_places(row, place)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest, last = [row[:] for row in self.rows], crossings, sweep
        self.rows = best

    def _crossings(self) -> int:
        total = 0
        for upper, lower in pairwise(self.rows):
            where = {box: number for number, box in enumerate(lower)}
            seen: list[int] = []
            for box in upper:
                ends = sorted(where[reader] for reader in self.below[box])
                total += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return total

    # Places

    def placed(self) -> Placed:
        if not self.sizes:
            return Placed([], [], 0.0, 0.0)
        self._order()
        x = self._across()
        tops, y = [], 0.0
        heights = [max(self.sizes[box][1] for box in row) for row in self.rows]
        for height in heights:
            tops.append(y)
            y += height + STREET
        left = min(x[b] - self.sizes[b][0] / 2 for b in range(len(self.sizes)))
        right = max(x[b] + self.sizes[b][0] / 2 for b in range(len(self.sizes)))
        middle = [tops[self.layer[b]] + heights[self.layer[b]] / 2 for b in range(len(x))]
        x = [value - left for value in x]
        routes = []
        for (a, b), chain in zip(self.edges, self.chains, strict=True):
            route: list[tuple[float, float]] = []
            for box in chain:
                half = self.sizes[box][1] / 2 if box < self.boxes else heights[self.layer[box]] / 2
                ends = [(x[box], middle[box] - half), (x[box], middle[box] + half)]
                route += ends[1:] if box == chain[0] else ends[:1] if box == chain[-1] else ends
            routes.append(route if chain[0] == a and chain[-1] == b else route[::-1])
        centres = list(zip(x, middle, strict=True))[: self.boxes]
        return Placed(centres, routes, right - left, y - STREET)

    def _across(self) -> list[float]:
        x = [0.0] * len(self.sizes)
        for row in self.rows:
            at = 0.0
            for box in row:
                x[box] = at + self.sizes[box][0] / 2
                at += self.sizes[box][0] + GAP
        for sweep in range(SWEEPS):
            down = sweep % 2 == 1  # the last one: below each other stands what follows each other
            for row in self.rows if down else self.rows[::-1]:
                self._draw_together(row, x, self.above if down else self.below)
        self._straighten(x)
        return x

    def _straighten(self, x: list[float]) -> None:
        """Edges that pass layers go straight down where there is room: as far out as they must."""
        room: dict[int, tuple[float, float]] = {}
        for row in self.rows:
            for number, box in enumerate(row):
                room[box] = (self._limit(row, number, -1, x), self._limit(row, number, 1, x))
        for chain in self.chains:
            points = chain[1:-1]
            if not points:
                continue
            low, high = (pick(room[p][n] for p in points) for n, pick in ((0, max), (1, min)))
            places = [x[p] for p in points]
            for wanted in (max(places), min(places)):
                if low <= wanted <= high:
                    for point in points:
                        x[point] = wanted
                    break

    def _limit(self, row: list[int], number: int, side: int, x: list[float]) -> float:
        """How far a point may go to one side: to its neighbour there."""
        if not 0 <= number + side < len(row):
            return side * math.inf
        box, other = row[number], row[number + side]
        return x[other] - side * ((self.sizes[box][0] + self.sizes[other][0]) / 2 + POINT)

    def _draw_together(self, row: list[int], x: list[float], near: list[list[int]]) -> None:
        """Move the boxes of a layer to where their neighbours are, as far as their order allows.
        Boxes go by boxes where they have any, so that what is a chain is straight and edges that
        pass give way."""
        wanted, weights = [], []
        for box in row:
            boxes = [n for n in near[box] if n < self.boxes] or near[box]
            wanted.append(sum(x[n] for n in boxes) / len(boxes) if boxes else x[box])
            weights.append(0.01 if not boxes else 1.0 if box >= self.boxes else 1e6)
        offsets, at = [], 0.0
        for number, box in enumerate(row):
            if number:
                at += (self.sizes[row[number - 1]][0] + self.sizes[box][0]) / 2 + GAP
            offsets.append(at)
        found = isotonic([w - o for w, o in zip(wanted, offsets, strict=True)], weights)
        for box, value, offset in zip(row, found, offsets, strict=True):
            x[box] = value + offset


def _note_places(row: Sequence[int], place: list[float]) -> None:
    for number, box in enumerate(row):
        place[box] = (number + 0.5) / len(row)


def isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest numbers that never fall, by weighted least squares.

    Example:
        >>> isotonic([1.0, 3.0, 2.0], [1.0, 1.0, 1.0])
        [1.0, 2.5, 2.5]
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values, weights, strict=True):
        block = value, weight, 1
        while blocks and blocks[-1][0] >= block[0]:
            mean, heavy, count = blocks.pop()
            both = heavy + block[1]
            block = (mean * heavy + block[0] * block[1]) / both, both, count + block[2]
        blocks.append(block)
    return [mean for mean, _, count in blocks for _ in range(count)]
