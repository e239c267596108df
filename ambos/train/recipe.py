"""What changes a step: accumulation, clipping, precision, and weights of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ambos.core.arguments import number, positive
from ambos.core.errors import ArgumentError, suggest
from ambos.optim import LBFGS, Optimizer
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where
from ambos.train.alignment import labels

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Recipe:
    """What `fit` was asked for that changes a step."""

    accumulate: int = 1
    clip_norm: float | None = None
    precision: str | None = None
    class_weight: tuple[tuple[int, float], ...] = ()
    classes: int | None = None  # how many a list of class weights has
    due: bool = True  # is this the batch whose gradients complete an update?

    def collecting(self) -> Recipe:
        """The same for the batches before."""
        return replace(self, due=False)


def recipe_of(
    op: str, optimizer: Optimizer, accumulate: Any, clip_norm: Any, precision: Any,
    class_weight: Any,
) -> Recipe:  # fmt: skip
    """What changes a step, where all of it fits together.

    Errors: ArgumentError.
    """
    positive(f"{op}: accumulate", accumulate)
    if clip_norm is not None and not number(f"{op}: clip_norm", clip_norm) > 0:
        raise ArgumentError(f"{op}: clip_norm is {clip_norm!r}; need a number > 0, or None")
    recipe = Recipe(
        accumulate, clip_norm, precision_of(precision), class_weights_of(class_weight),
        classes_of(class_weight),
    )  # fmt: skip
    if isinstance(optimizer, LBFGS):
        asked = {"accumulate": accumulate > 1, "clip_norm": clip_norm is not None,
                 "precision='float16'": recipe.precision == "float16"}  # fmt: skip
        strange = [name for name, is_asked in asked.items() if is_asked]
        if strange:
            raise ArgumentError(
                f"{op}: {', '.join(strange)} with LBFGS, which searches along the gradients of one "
                "whole batch as they are; need a larger batch_size and none of these, or another "
                "optimizer"
            )
    return recipe


def precision_of(given: Any) -> str | None:
    """The dtype in which products compute, by name; None for that of the parameters.

    Errors: ArgumentError for another one.
    """
    if given is None:
        return None
    name = str(getattr(given, "name", given)).removeprefix("mixed_")
    name = {"bf16": "bfloat16", "fp16": "float16"}.get(name, name)
    if name not in PRECISIONS:
        raise ArgumentError(
            f"fit: precision is {given!r}; need one of {', '.join(PRECISIONS)}"
            f"{suggest(name, PRECISIONS)}"
        )
    return None if name == "float32" else name


def class_weights_of(given: Any) -> tuple[tuple[int, float], ...]:
    """{class: weight}, or a list by class, as pairs.

    Errors: ArgumentError for anything else and for negative weights.
    """
    if given is None:
        return ()
    pairs = given.items() if isinstance(given, Mapping) else enumerate(np.asarray(given).tolist())
    try:
        found = tuple(sorted((_label(label), float(weight)) for label, weight in pairs))
    except (TypeError, ValueError):
        raise ArgumentError(
            f"fit: class_weight is {given!r}; need weights by class: {{0: 1.0, 1: 5.0}}"
        ) from None
    if not found or any(label < 0 or not 0 <= weight < float("inf") for label, weight in found):
        raise ArgumentError(f"fit: class_weight is {given!r}; need classes >= 0, weights >= 0")
    return found


def _label(given: Any) -> int:
    """A class as an integer, which a 1.0 or a "1" of a file may be.

    Errors: ValueError for 1.5.
    """
    label = int(given)
    if not isinstance(given, str) and label != given:
        raise ValueError(given)
    return label


def classes_of(given: Any) -> int | None:
    """How many classes a list of weights is for; a mapping may leave classes out."""
    return None if given is None or isinstance(given, Mapping) else len(given)


def check_class_weights(recipe: Recipe, target: Any, output: Any) -> None:
    """Refuse a list of class weights that is for more or fewer classes than there are scores for,
    and targets with several classes in a row, as pictures and texts have them: a row has one
    weight.

    Errors: ArgumentError.
    """
    if not recipe.class_weight:
        return
    listed, is_output = recipe.classes, isinstance(output, Tensor)
    if listed is not None and is_output and output.ndim == 2:
        classes = max(2, output.shape[1])  # one score tells two
        if listed != classes:
            odd = min(listed, classes)
            said = f"class {odd} has no weight" if listed < classes else f"there is no class {odd}"
            raise ArgumentError(
                f"fit: class_weight lists {listed} weights and the model tells {classes} classes, "
                f"so {said}; need {classes} of them, or {{class: weight}}, where others weigh 1"
            )
    if not isinstance(target, Tensor) or all(n == 1 for n in target.shape[1:]):
        return
    if target.ndim > 2 or (is_output and output.shape != target.shape):
        raise ArgumentError(
            f"fit: class_weight with targets {target.shape}, which have several classes in a row; "
            "need one class a row, or sample_weight of the targets' shape: "
            "sample_weight=weights[y], weights an array by class"
        )


def class_weights(target: Tensor, weights: tuple[tuple[int, float], ...]) -> Tensor:
    """The weight of each row's class; classes that are not named weigh 1."""
    if target.ndim > 1 and target.shape[1] > 1:
        target = target.argmax(1)
    found = labels(target).reshape(target.shape[0], -1)[:, 0]
    known = dict(weights)
    table = Tensor(np.array([known.get(n, 1.0) for n in range(max(known) + 2)], np.float32))
    inside = (found >= 0) & (found < len(table) - 1)
    return table[where(inside, found, len(table) - 1)]
