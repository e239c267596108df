"""Line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ambos.tensor.handle import Tensor

ENOUGH, FLAT = 1e-4, 0.9  # of the conditions: how much must be gained, how flat it must be


class Point(NamedTuple):
    """What is known of the function at a step along the direction."""

    step: float
    value: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    look: Callable[[float], Point], start: Point, step: float, size: float, most: int
) -> tuple[Point, int]:
    """A point where the function has fallen enough and its slope is flat enough, and how often
    `look` was called. `size` is the largest component of the direction; `most` bounds the rounds.

    Source: Nocedal and Wright (2006), "Numerical optimization", algorithms 3.5 and 3.6, with cubic
        interpolation as in Schmidt's minFunc, whose order of looks PyTorch follows, and so do we.

    Example:
        >>> import ambos as am
        >>> slope = lambda t: 2 * (t - 3)
        >>> look = lambda t: Point(t, (t - 3) ** 2, am.tensor([slope(t)]), slope(t))
        >>> point, looks = strong_wolfe(look, look(0.0), 1.0, 1.0, 25)
        >>> point.step, looks
        (1.0, 1)
    """
    bracket, rounds, done = _bracket(look, start, step, most)
    looks = rounds + 1
    slow = False
    while not done and rounds < most:
        low, high = sorted(bracket, key=lambda point: point.value)
        if abs(low.step - high.step) * size < 1e-9:
            break
        step, slow = _between(bracket, slow)
        new = look(step)
        looks, rounds = looks + 1, rounds + 1
        place = 0 if bracket[0] is low else 1
        if new.value > start.value + ENOUGH * step * start.slope or new.value >= low.value:
            bracket[1 - place] = new
            continue
        done = abs(new.slope) <= -FLAT * start.slope
        if not done and new.slope * (high.step - low.step) >= 0:
            bracket[1 - place] = low
        bracket[place] = new
    return min(bracket, key=lambda point: point.value), looks


def _bracket(
    look: Callable[[float], Point], start: Point, step: float, most: int
) -> tuple[list[Point], int, bool]:
    """Points around one that satisfies the conditions, or that point; the rounds that it took."""
    before, new, rounds = start, look(step), 0
    while rounds < most:
        fell = new.value <= start.value + ENOUGH * new.step * start.slope
        if not fell or (rounds > 1 and new.value >= before.value):
            return [before, new], rounds, False
        if abs(new.slope) <= -FLAT * start.slope:
            return [new], rounds, True
        if new.slope >= 0:
            return [before, new], rounds, False
        least = new.step + 0.01 * (new.step - before.step)
        step = cubic(before, new, (least, new.step * 10))
        before, new, rounds = new, look(step), rounds + 1
    return [start, new], rounds, False


def _between(bracket: list[Point], slow: bool) -> tuple[float, bool]:
    """The next step to try; was it drawn to the edge, so that less progress is made?"""
    step = cubic(bracket[0], bracket[1])
    left, right = sorted(point.step for point in bracket)
    margin = 0.1 * (right - left)
    if min(right - step, step - left) >= margin:
        return step, False
    if slow or step >= right or step <= left:
        return (right - margin if abs(step - right) < abs(step - left) else left + margin), False
    return step, True


def cubic(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """The minimum of the cubic through two points with their slopes, within `bounds` (by default
    between the points); the middle where it has none.

    Example:
        >>> import ambos as am
        >>> at = lambda t: Point(t, (t - 3) ** 2, am.tensor([0.0]), 2 * (t - 3))
        >>> cubic(at(0.0), at(8.0))
        3.0
    """
    low, high = bounds or sorted((a.step, b.step))
    first = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    square = first * first - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    root = math.sqrt(square)
    left, right = (a, b) if a.step <= b.step else (b, a)
    part = (right.slope + root - first) / (right.slope - left.slope + 2 * root)
    return min(max(right.step - (right.step - left.step) * part, low), high)
