"""One pass over batches: what `fit`, `evaluate` and `predict` are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.core.dtype import DType, float32, uint8
from ambos.core.errors import ArgumentError, DTypeError
from ambos.data import ArrayDataset, DataLoader
from ambos.data.dataset import as_rows
from ambos.optim import Optimizer
from ambos.tensor.handle import Tensor
from ambos.tensor.live import evaluate as compute
from ambos.tensor.modes import no_grad
from ambos.train.names import Score


@dataclass
class Plan:
    """What `compile` settled."""

    optimizer: Optimizer
    loss: Score
    metrics: dict[str, Score]
    config: dict[str, Any]


class Totals:
    """Sums over an epoch, weighted by batch size; they stay tensors until somebody looks."""

    def __init__(self, names: Sequence[str]) -> None:
        # Arrays, not numbers, so that the first batch has the same graph as all others.
        self.sums = {name: Tensor(np.zeros((), np.float32)) for name in names}
        self.count = 0

    def add(self, values: dict[str, Tensor], count: int) -> list[Tensor]:
        """Record the numbers of a batch; returns the sums, not yet computed."""
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value.detach().to(float32) * float(count)
        self.count += count
        return list(self.sums.values())

    def means(self) -> dict[str, float]:
        """The averages so far."""
        return {name: total.item() / max(1, self.count) for name, total in self.sums.items()}


def train_batch(
    model: Any, plan: Plan, x: Any, y: Any, totals: Totals, buffers: Iterable[Tensor] = ()
) -> None:
    """One step. Forward, backward, update, loss and metrics are computed in one go."""
    values = _scores(model, plan, x, y)
    plan.optimizer.zero_grad()
    values["loss"].backward()
    changed = plan.optimizer.advance()
    plan.optimizer.zero_grad()  # nobody looks at the gradients: they need no place of their own
    with no_grad():
        changed += totals.add(values, size_of(y))
    values.clear()
    compute([*changed, *buffers])


def test_batch(model: Any, plan: Plan, x: Any, y: Any, totals: Totals) -> None:
    """Loss and metrics of one batch, without gradients."""
    with no_grad():
        compute(totals.add(_scores(model, plan, x, y), size_of(y)))


test_batch.__test__ = False  # type: ignore[attr-defined]  # its name is no test's


def _scores(model: Any, plan: Plan, x: Any, y: Any) -> dict[str, Tensor]:
    output = call(model, x)
    loss: Any = plan.loss(output, y)
    if not isinstance(loss, Tensor) or loss.shape != ():
        got = f"a tensor of shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ArgumentError(f"fit: the loss is {got}; need one number: use reduction='mean'")
    with no_grad():
        detached = output.detach() if isinstance(output, Tensor) else output
        return {"loss": loss, **{name: m(detached, y) for name, m in plan.metrics.items()}}


def call(model: Any, x: Any) -> Any:
    """The model on a batch; several inputs come as a tuple.

    Errors: DTypeError, with the way to scale them, for raw images that a layer does not take.
    """
    inputs = x if isinstance(x, tuple) else (x,)
    try:
        return model(*inputs)
    except DTypeError as error:
        if not any(isinstance(value, Tensor) and value.dtype is uint8 for value in inputs):
            raise
        text, bracket, line = str(error).rpartition(" [")
        raise DTypeError(
            f"{text if bracket else line}; the inputs are uint8, as images often are: use "
            "x.astype('float32') / 255"
        ) from error


def size_of(batch: Any) -> int:
    """The number of examples in a batch."""
    first = batch[0] if isinstance(batch, tuple) else batch
    return int(first.shape[0]) if first.shape else 1


class Batches:
    """Pairs (x, y) of tensors, again for each epoch, from arrays or from an iterable of pairs."""

    def __init__(self, source: Iterable[Any], dtype: DType, limit: int | None, op: str) -> None:
        if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
            raise ArgumentError(
                f"{op}: got {type(source).__name__}; need arrays or an iterable of batches"
            )
        self.source, self.dtype, self.limit, self.op = source, dtype, limit, op
        self.once = iter(source) if hasattr(source, "__next__") else None

    def __len__(self) -> int:
        if self.limit is not None:
            return self.limit
        return len(self.source)  # type: ignore[arg-type]

    def count(self) -> int | None:
        """The number of batches, where it is known beforehand."""
        try:
            return len(self)
        except TypeError:
            return None

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        found = 0
        for batch in self.source if self.once is None else self.once:
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise ArgumentError(
                    f"{self.op}: a batch is {type(batch).__name__}"
                    + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
                    + "; need pairs (x, y)"
                )
            yield self._ready(batch[0]), self._ready(batch[1])
            found += 1
            if found == self.limit:
                return
        if not found:
            fix = "need at least one"
            if self.once is not None:
                fix = ("a generator can be read once: need a list, a DataLoader, or "
                       "steps_per_epoch with a generator that does not end")  # fmt: skip
            raise ArgumentError(f"{self.op}: no batches; {fix}")

    def _ready(self, value: Any) -> Any:
        """A tensor; float64, NumPy's default, becomes the model's dtype."""
        if isinstance(value, (tuple, list)) and any(hasattr(v, "shape") for v in value):
            return tuple(self._ready(v) for v in value)
        tensor = value if isinstance(value, Tensor) else Tensor(as_rows(value))
        if tensor.dtype.is_floating and tensor.dtype is not self.dtype:
            tensor = tensor.to(self.dtype)
        return tensor


def is_arrays(x: Any) -> bool:
    """Is `x` data itself, rather than an iterable of batches?"""
    if isinstance(x, (Tensor, np.ndarray)) or hasattr(x, "__array__"):
        return True
    if not isinstance(x, (list, tuple)) or not x:
        return False
    return not isinstance(x[0], (list, tuple)) or not hasattr(x[0][0], "shape")


class Inputs:
    """An iterable of inputs, or of pairs (x, y), read as pairs."""

    def __init__(self, source: Any) -> None:
        if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
            raise ArgumentError(
                f"predict: got {type(source).__name__}; need an array or an iterable of batches"
            )
        self.source = source

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for batch in self.source:
            x = batch[0] if isinstance(batch, (tuple, list)) and len(batch) == 2 else batch
            yield x, x


def inputs_of(x: Any, dtype: DType, batch_size: int) -> Iterator[Any]:
    """Batches of inputs alone, for `predict`: of an array, or from an iterable of batches, which
    are inputs or pairs (x, y)."""
    if is_arrays(x):
        pairs = from_arrays(x, x, dtype, batch_size, False, None, "predict")
    else:
        pairs = Batches(Inputs(x), dtype, None, "predict")
    return (batch for batch, _ in pairs)


def from_arrays(
    x: Any, y: Any, dtype: DType, batch_size: int, shuffle: bool, seed: int | None, op: str
) -> Batches:
    """Batches of arrays, converted once."""
    data = ArrayDataset(narrowed(x, dtype), narrowed(y, dtype))
    if not len(data):
        raise ArgumentError(f"{op}: the arrays have no rows; need at least one example")
    loader = DataLoader(data, batch_size=batch_size, shuffle=shuffle, seed=seed)
    return Batches(loader, dtype, None, op)


def narrowed(value: Any, dtype: DType) -> Any:
    """Rows, floating ones in the model's dtype where NumPy has it."""
    rows = as_rows(value)
    if rows.dtype.kind == "f" and dtype.name in ("float16", "float32", "float64"):
        return rows.astype(dtype.name, copy=False)
    return rows
