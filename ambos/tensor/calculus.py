"""Integrals and derivatives of sampled functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.ops.movement import concat
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.movement import moveaxis
from ambos.tensor.names import public
from ambos.tensor.operands import floating
from ambos.tensor.running import cumsum


def _areas(op: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Tensor, int]:
    """The trapezoids between neighbours along an axis, which is moved to the end."""
    node = node_of(y)
    if node.rank == 0:
        raise ShapeError(f"{op}: got a scalar; need at least one dimension")
    at = normalize_axis(op, axis, node.rank)
    values = moveaxis(wrap(node), at, -1)
    if x is not None and dx is not None:
        raise ArgumentError(f"{op}: got both x and dx; need one of them")
    if x is None:
        step: Any = 1 if dx is None else dx
        sides = values[..., 1:] + values[..., :-1]
        return sides * (step / 2 if isinstance(step, (int, float)) else step * 0.5), at
    places = wrap(node_of(x))
    if places.ndim == 0:
        raise ShapeError(f"{op}: x is a scalar; need points along the axis, or dx=")
    if places.ndim == node.rank:
        places = moveaxis(places, at, -1)
    if places.shape[-1] != values.shape[-1]:
        raise ShapeError(f"{op}: x has {places.shape[-1]} points along the axis and y has "
                         f"{values.shape[-1]}; need as many")  # fmt: skip
    gaps = places[..., 1:] - places[..., :-1]
    return (values[..., 1:] + values[..., :-1]) * gaps * 0.5, at


@public
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, axis: int = -1) -> Tensor:
    """The integral along an axis by the trapezoidal rule, of values at `x` (or `dx` apart).

    Example:
        >>> import ambos as am
        >>> am.trapezoid(am.tensor([1.0, 2.0, 3.0]), dx=2).item()
        8.0
    """
    areas, _ = _areas("trapezoid", y, x, dx, axis)
    total: Tensor = areas.sum(-1)
    return total


trapz = trapezoid


@public
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, axis: int = -1) -> Tensor:
    """The integral along an axis from its start up to each further point; see `trapezoid`."""
    areas, at = _areas("cumulative_trapezoid", y, x, dx, axis)
    return moveaxis(cumsum(areas, -1), -1, at)


@public
def gradient(
    x: Any, *spacings: Any, spacing: Any = None, axis: Any = None, edge_order: int = 1
) -> list[Tensor]:
    """Derivatives of sampled values along axes (all by default), one tensor each: central
    differences inside, one-sided ones of `edge_order` (1 or 2) at the ends.

    `spacing` is one distance for all axes, one an axis, or the coordinates along each axis.

    Example:
        >>> import ambos as am
        >>> am.gradient(am.tensor([1.0, 2.0, 4.0, 8.0]))[0].tolist()
        [1.0, 1.5, 3.0, 4.0]
    """
    node = floating(node_of(x))
    values = wrap(node)
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order is {edge_order}; need 1 or 2")
    wanted = range(node.rank) if axis is None else axis if isinstance(axis, Iterable) else [axis]
    axes = [normalize_axis("gradient", a, node.rank) for a in wanted]
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"gradient: axis {list(axes)} names one axis twice")
    if len(spacings) == 1 and _is_number(spacings[0]):
        spacing = spacings[0]  # NumPy's gradient(x, h): one distance for all axes
    elif spacings:
        spacing = spacings
    steps = _spacings(spacing, len(axes))
    for at in axes:
        if node.shape[at] <= edge_order:
            raise ShapeError(f"gradient: axis {at} of {node.shape} with edge_order {edge_order}; "
                             f"need at least {edge_order + 1} elements")  # fmt: skip
    return [_derivative(values, at, h, edge_order) for at, h in zip(axes, steps, strict=True)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.ndim == 0)


def _spacings(given: Any, count: int) -> list[Any]:
    """A distance, or coordinates, for each axis."""
    if given is None:
        return [1.0] * count
    if _is_number(given):
        return [given.item() if isinstance(given, Tensor) else given] * count
    if not isinstance(given, Iterable):
        raise ArgumentError(f"gradient: spacing is {given!r}; need numbers or coordinates")
    several = list(given)
    if len(several) != count:
        raise ArgumentError(f"gradient: {len(several)} spacings for {count} axes; need one an axis")
    return several


def _derivative(values: Tensor, axis: int, spacing: Any, edge_order: int) -> Tensor:
    y = moveaxis(values, axis, -1)
    extent = y.shape[-1]
    gaps = None
    if not isinstance(spacing, (int, float)):
        places = wrap(floating(node_of(spacing)))
        if places.ndim == 0:
            spacing = places.item()
        elif places.shape != (extent,):
            raise ShapeError(f"gradient: coordinates are {places.shape} for {extent} elements "
                             "along an axis; need as many")  # fmt: skip
        else:
            gaps = (places[1:] - places[:-1]).astype(y.dtype)
    before, here, after = y[..., :-2], y[..., 1:-1], y[..., 2:]
    if gaps is None:
        inside = (after - before) / (2 * spacing)
        first, second = spacing, spacing
        last, last_but_one = spacing, spacing
    else:
        a, b = gaps[:-1], gaps[1:]
        inside = after * (a / (b * (a + b))) + here * ((b - a) / (a * b)) - before * (
            b / (a * (a + b))
        )  # fmt: skip
        first, last = gaps[:1], gaps[-1:]
        second, last_but_one = gaps[1:2], gaps[-2:-1]
    if edge_order == 1:
        left = (y[..., 1:2] - y[..., :1]) / first
        right = (y[..., -1:] - y[..., -2:-1]) / last
    else:
        left = _one_sided(y[..., :1], y[..., 1:2], y[..., 2:3], first, second)
        right = -_one_sided(y[..., -1:], y[..., -2:-1], y[..., -3:-2], last, last_but_one)
    parts = [part._node for part in (left, inside, right) if part.shape[-1]]
    return moveaxis(wrap(concat(*parts, attrs=(y.ndim - 1,))), -1, axis)


def _one_sided(y0: Tensor, y1: Tensor, y2: Tensor, a: Any, b: Any) -> Tensor:
    """The derivative at y0 of the parabola through three points, `a` and then `b` apart."""
    return y1 * ((a + b) / (a * b)) - y0 * ((2 * a + b) / (a * (a + b))) - y2 * (a / (b * (a + b)))


__all__ = ["cumulative_trapezoid", "gradient", "trapezoid", "trapz"]
