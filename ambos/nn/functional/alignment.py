"""Losses of sequences whose targets say what comes, but not when."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ambos.nn.functional.shared import as_tensor, back, check_reduction, computed, loss_of, real
from ambos.tensor.checks import require_range
from ambos.tensor.creation import arange, full
from ambos.tensor.gather import gather, take
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat, stack
from ambos.tensor.pointwise import where

NAME = "ctc_loss"
NEVER = -1e30  # the logarithm of what cannot happen; differences of infinities have no gradient


def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Minus the log-probability of a sequence of classes, over all ways to spread it over time:
    every class for some steps, blanks between, and at least one blank between equal classes.

    `log_probs` are `log_softmax`'s. `targets` are rows, of which `target_lengths` count, or all
    rows one after the other. A target that does not fit into its input has the loss infinity, or 0
    with `zero_infinity`, and no gradient. "mean" divides each loss by its target's length first.

    Shapes: log_probs (T, N, C), targets (N, S) or (sum of target_lengths,), lengths (N,); or
        (T, C), (S,), () and ().
    Dtypes: log_probs floating, the others integers.
    Errors: ShapeError, DTypeError; ArgumentError for lengths that are longer than there is room;
        IndexingError for a target that is no class.
    Source: Graves et al. (2006), "Connectionist temporal classification".

    Example:
        >>> import ambos as am
        >>> log_probs = am.tensor([[[0.5, 0.5]], [[0.5, 0.5]]]).log()
        >>> ctc_loss(log_probs, am.tensor([[1]]), [2], [1], reduction="sum").exp().item()
        1.3333333730697632
    """
    given = real(NAME, log_probs)
    check_reduction(NAME, reduction)
    if given.ndim not in (2, 3):
        raise ShapeError(f"{NAME}: log_probs is {given.shape}; need (T, N, C) or (T, C)")
    alone = given.ndim == 2
    x = computed(given.unsqueeze(1) if alone else given)
    steps, batch, classes = x.shape
    if not 0 <= blank < classes:
        raise ArgumentError(f"{NAME}: blank is {blank}; need 0 <= blank < {classes}")
    times = _lengths("input_lengths", input_lengths, batch, steps).to(int64)
    labels, sizes = _rows(targets, target_lengths, batch, classes, blank, alone)
    likely = _log_likelihood(x, labels, times, sizes, blank)
    loss = -likely
    if zero_infinity:
        loss = where(loss == math.inf, 0.0, loss)
    if reduction == "mean":
        loss = loss / sizes.clamp_min(1).to(loss.dtype)
    return loss_of(NAME, back(loss.reshape(()) if alone else loss, given), reduction)


def _integers(role: str, value: Any) -> Tensor:
    found = as_tensor(value)
    if not found.dtype.is_integer:
        raise DTypeError(f"{NAME}: {role} is {found.dtype.name}; need integers: use x.long()")
    return found


def _lengths(role: str, value: Any, batch: int, most: int) -> Tensor:
    """One length for each of the batch, as known as it came."""
    found = _integers(role, value)
    if found.shape not in ((batch,), ()) or found.numel() != batch:
        raise ShapeError(f"{NAME}: {role} is {found.shape}; need ({batch},), one for each of the "
                         "batch")  # fmt: skip
    require_range(
        found._node, 0, most + 1, ArgumentError,
        lambda wrong: f"{NAME}: one of {role} is {wrong}; need 0 to {most}, as much as there is",
    )  # fmt: skip
    return found if found.ndim else found.unsqueeze(0)


def _rows(
    targets: Any, target_lengths: Any, batch: int, classes: int, blank: int, alone: bool
) -> tuple[Tensor, Tensor]:
    """The targets as (N, S), with blanks behind their ends, and their lengths."""
    found = _integers("targets", targets)
    if found.ndim not in (1, 2) or (found.ndim == 2 and found.shape[0] != batch):
        raise ShapeError(f"{NAME}: targets is {found.shape}; need ({batch}, S), or all rows one "
                         "after the other")  # fmt: skip
    sizes = _lengths("target_lengths", target_lengths, batch, found.shape[-1])
    require_range(
        found._node, 0, classes, IndexingError,
        lambda wrong: f"{NAME}: a target is {wrong}; need 0 <= class < {classes}",
        lengths=sizes._node if found.ndim == 2 else None,
    )  # fmt: skip
    found, sizes = found.to(int64), sizes.to(int64)
    if found.ndim == 1:
        found = found.unsqueeze(0) if alone else _cut_up(found, sizes)
    labels: Tensor = where(arange(found.shape[1]) < sizes.unsqueeze(1), found, blank)
    return labels, sizes


def _cut_up(flat: Tensor, sizes: Tensor) -> Tensor:
    """Rows that lie one after the other, as long as the longest."""
    ends = sizes.cumsum(0)
    count = int(ends[-1]) if sizes.numel() else 0
    if count != flat.numel():
        raise ShapeError(f"{NAME}: targets has {flat.numel()} elements and target_lengths sum to "
                         f"{count}; need as many")  # fmt: skip
    if not count:
        return flat.reshape(sizes.numel(), 0)
    places = (ends - sizes).unsqueeze(1) + arange(int(sizes.max()))
    rows: Tensor = take(flat, places.clamp_max(count - 1))
    return rows


def _log_likelihood(x: Tensor, labels: Tensor, times: Tensor, sizes: Tensor, blank: int) -> Tensor:
    """The logarithm of the sum over all paths, (N,).

    States are a blank, the first class, a blank, the second class, and so on to a last blank. A
    path stays in its state, or goes to the next, or over a blank to a class that differs from the
    one before. It starts in front of the first blank, which nothing was emitted for."""
    steps, batch, _ = x.shape
    count = 2 * labels.shape[1] + 1
    blanks = full((batch, labels.shape[1] + 1), blank, dtype=int64)
    states = stack([labels, blanks[:, 1:]], -1).reshape(batch, count - 1)
    states = concat([blanks[:, :1], states], 1)
    emitted = gather(x, 2, states.unsqueeze(0).expand(steps, batch, count)).maximum(NEVER)
    never = full((batch, 2), NEVER, dtype=x.dtype)
    same = states[:, 2:] == states[:, :-2]
    skips = concat([full((batch, 2), False), same.logical_not()], 1)[:, :count]
    place = arange(count)
    alive = arange(steps).reshape(steps, 1, 1) < times.unsqueeze(1)
    paths = where(place == 0, 0.0, full((batch, count), NEVER, dtype=x.dtype))
    for step in range(steps):
        behind = concat([never, paths], 1)
        over = where(skips, behind[:, :-2], NEVER)
        arrived = paths.logaddexp(behind[:, 1:-1]).logaddexp(over)
        paths = where(alive[step], arrived + emitted[step], paths)
    last = 2 * sizes.unsqueeze(1)
    ends = [where(place == end, paths, NEVER).amax(1) for end in (last, last - 1)]
    total = ends[0].logaddexp(ends[1])
    return where(total < NEVER / 2, -math.inf, total)
