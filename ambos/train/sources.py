"""What `fit`, `evaluate` and `predict` were given, as batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ambos.core import tree
from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.data.collate import copied
from ambos.train.alignment import Kind
from ambos.train.batches import PARTS, Arrays, Batch, Source, Stream, arrays_of, is_arrays
from ambos.train.examples import in_batches
from ambos.train.noted import NotedStream, kinds_in_steps, note_of
from ambos.train.stepping import is_own

TRAINING_BATCH = 32
EVALUATION_BATCH = 256  # examples at a time where no gradients are kept


def training_data(
    model: Any, x: Any, y: Any, weight: Any, batch_size: int | None, shuffle: bool,
    seed: int | None, steps: int | None, split: float,
) -> tuple[Source, Batch | None]:  # fmt: skip
    """Training batches, and the part of the arrays that `split` sets aside."""
    if x is None:
        raise ArgumentError("fit: no x; need arrays x and y, or an iterable of batches (x, y)")
    refuse_empty("fit", x=x)
    if not is_arrays(x):
        refuse_beside_stream("fit", y, weight)
        if split:
            raise ArgumentError(
                "fit: validation_split needs arrays; pass validation_data for an iterable"
            )
        sizes = (batch_size, TRAINING_BATCH)
        return stream_of(model, "fit", "x", x, sizes, steps, shuffle, seed), None
    if y is None and not is_own(model, "train_step"):
        raise ArgumentError("fit: got x without y; need both, or an iterable of pairs (x, y)")
    size = positive("fit: batch_size", TRAINING_BATCH if batch_size is None else batch_size)
    given = {"x": x, "y": y, "sample_weight": weight}
    # Rows are looked at for NaN when it is their turn; those set aside, before hours of training.
    parts = arrays_of(given, model.float_dtype, "fit", model.takes_nan or not split)
    held_out = None
    if split:
        count = len(tree.leaves(parts)[0])
        kept = math.floor(count * (1.0 - split))  # as Keras rounds
        if not 0 < kept < count:
            raise ArgumentError(
                f"fit: validation_split={split} of {count} examples leaves one side empty"
            )
        held_out = tree.map(lambda rows: rows[kept:], parts)
        parts = tree.map(lambda rows: rows[:kept], parts)
    return Arrays(parts, size, shuffle, seed, "fit", steps, looked_at(model, given)), held_out


def validation_of(
    model: Any, data: Any, held_out: Batch | None, given: int | None, usual: int, steps: int | None
) -> Source | None:
    """Validation batches, from `data` or from what was set aside, of the `given` size or as many
    rows as are `usual`."""
    size = given or usual
    if data is None:
        if held_out is None:
            return None
        source = Arrays(held_out, size, False, None, "fit", steps)
        source.name = "validation_split"
        return source
    if isinstance(data, tuple) and len(data) == 1 and is_arrays(data[0]):
        data = data[0]  # (x,)
    if is_pair(data):
        return source_of(model, "fit", *data, batch_size=size, steps=steps, name="validation_data")
    return source_of(model, "fit", data, batch_size=given, steps=steps, name="validation_data",
                     usual=usual)  # fmt: skip


def is_pair(data: Any) -> bool:
    """Is `data` (x, y) or (x, y, sample_weight), not a list of batches, each a pair itself?"""
    if not isinstance(data, (tuple, list)) or not 2 <= len(data) <= 3 or not is_arrays(data[0]):
        return False
    return not isinstance(data, list) or not all(map(_is_batch, data))


def _is_batch(part: Any) -> bool:
    """Is this a pair of arrays, of which one may be ragged?"""
    if not isinstance(part, (tuple, list)):
        return False
    return any(hasattr(each, "shape") for each in part) or not is_arrays([part])


def parts_of(data: Any) -> tuple[Any, ...]:
    """x, y and sample_weight of validation data, as far as they are arrays."""
    return tuple(data) if is_pair(data) else ()


def kinds_of(model: Any, source: Source | None, *given: Any) -> dict[str, Any]:
    """The kinds of the arrays that `source` has of the `given` parts, by name, as the model gets
    them; none of an iterable, whose batches are not known."""
    if not isinstance(source, Arrays):
        return {}
    names = [name for name, part in zip(PARTS, given, strict=False) if part is not None]
    found = dict(zip(names, tree.map(Kind.of, source.columns.parts()), strict=False))
    return dict(kinds_in_steps(model, found))


def source_of(
    model: Any, op: str, x: Any, y: Any = None, weight: Any = None, *, batch_size: int | None,
    steps: int | None = None, name: str = "x", usual: int = EVALUATION_BATCH,
) -> Source:  # fmt: skip
    """Batches in order, from arrays or from an iterable."""
    refuse_empty(op, **{name: x})
    if not is_arrays(x):
        refuse_beside_stream(op, y, weight)
        return stream_of(model, op, name, x, (batch_size, usual), steps)
    if y is None and not is_own(model, "test_step"):
        what = "x without y" if name == "x" else f"{name} without targets"
        raise ArgumentError(f"{op}: got {what}; need both, or an iterable of pairs (x, y)")
    inner = ("x", "y", "sample_weight") if name == "x" else tuple(f"{name}[{n}]" for n in "012")
    given = dict(zip(inner, (x, y, weight), strict=True))
    is_later = op == "fit"  # training comes before
    parts = arrays_of(given, model.float_dtype, op, model.takes_nan or not is_later)
    source = Arrays(parts, batch_size or EVALUATION_BATCH, False, None, op, steps,
                    looked_at(model, given))  # fmt: skip
    source.name = name
    return source


def stream_of(
    model: Any, op: str, name: str, x: Any, sizes: tuple[int | None, int], steps: int | None,
    shuffle: bool = False, seed: int | None = None,
) -> Source:  # fmt: skip
    """Batches of an iterable; of examples, that of `sizes` which was given, or the usual one."""
    read, check = in_batches(op, name, x, *sizes, shuffle, seed)
    step = "train_step" if (op, name) == ("fit", "x") else "test_step"
    source = NotedStream(read, model.float_dtype, op, steps, name, model.takes_nan, check=check,
                         paired=not is_own(model, step))  # fmt: skip
    source.note = note_of(x, read, shuffle, seed)
    return source


def looked_at(model: Any, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of arguments whose rows are looked at for NaN."""
    if model.takes_nan:
        return ()
    return tuple(name for name, value in given.items() if value is not None)


def refuse_empty(op: str, **given: Any) -> None:
    """An ArgumentError for arguments without rows, or that are a list of nothing."""
    for name, value in given.items():
        if _is_empty(value):
            raise ArgumentError(
                f"{op}: {name} is empty; need at least one example: rows of arrays, or what gives "
                "batches of them"
            )


def _is_empty(value: Any) -> bool:
    if hasattr(value, "shape"):
        return bool(len(value.shape)) and not value.shape[0]
    if not isinstance(value, (tuple, list, Mapping)):
        return False
    parts = list(value.values()) if isinstance(value, Mapping) else value
    return not len(parts) or (hasattr(parts[0], "shape") and any(map(_is_empty, parts)))


def refuse_beside_stream(op: str, y: Any, weight: Any) -> None:
    if y is not None:
        raise ArgumentError(f"{op}: got an iterable of batches and y; need y in its pairs")
    if weight is not None:
        raise ArgumentError(
            f"{op}: got an iterable of batches and sample_weight; need it as their third part"
        )


def inputs_of(model: Any, x: Any, batch_size: int | None, steps: int | None) -> Any:
    dtype, size = model.float_dtype, batch_size or EVALUATION_BATCH
    refuse_empty("predict", x=x)
    if not is_arrays(x):
        x, _ = in_batches("predict", "x", x, batch_size, EVALUATION_BATCH)
        source: Source = Stream(x, dtype, "predict", steps, takes_nan=True, whole=False)
        return source.batches(0)
    parts = arrays_of({"x": x}, dtype, "predict", True)
    if len(tree.leaves(parts)[0]) <= size:
        source = Arrays(parts, size, False, None, "predict")
        return [tree.map(copied, parts)]
    return Arrays(parts, size, False, None, "predict", steps).batches(0)
