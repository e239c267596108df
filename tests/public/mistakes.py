"""Typical mistakes, made with every public function: what comes is an error of ours.

From a call that works (`recipes.py`) one argument at a time is replaced. What must come is a result
or an `AmbosError` that ends with the user's file and line; a bare TypeError or AttributeError from
inside says nothing about the call.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir
from typing import Any

import numpy as np

import ambos as am
from ambos.core.errors import AmbosError
from tests.public.recipes import Recipe

STRANGE = {
    "None": lambda: None,
    "a string": lambda: "three",
    "an object": lambda: object(),
    "rows of unequal length": lambda: [[1.0], [2.0, 3.0]],
    "strings in an array": lambda: np.array(["a", "b"]),
    "NaN": lambda: float("nan"),
    "a fraction": lambda: 1.5,
    "a negative number": lambda: -7,
    "a huge number": lambda: 10**20,
    "a long tuple": lambda: (1, 2, 3, 4, 5, 6, 7),
    "a dict": lambda: {"x": 1},
    "a function": lambda: len,
    "a tensor of another shape": lambda: am.ones(5, 7),
    "a scalar tensor": lambda: am.tensor(1.0),
    "a tensor of seven axes": lambda: am.ones(1, 1, 1, 1, 1, 1, 3),
    "no elements": lambda: am.zeros(0),
    "bool": lambda: am.ones(4, 4) > 0,
    "int8": lambda: am.ones(4, 4).to(am.int8),
    "complex": lambda: am.ones(4, 4).to(am.complex64),
}
# Asked for 10**20 pieces, factors or cells, these begin to record them, one after the other.
PATIENT = (
    "tensor_split",
    "mvlgamma",
    "special.multigammaln",
    "nn.functional.adaptive_max_pool1d",
    "nn.functional.adaptive_max_pool2d",
    "nn.functional.adaptive_max_pool3d",
)


def wrong_calls(recipe: Recipe) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """What is wrong, and the call."""
    for place in range(len(recipe.args)):
        for what, make in STRANGE.items():
            if what == "a huge number" and recipe.name in PATIENT:
                continue
            args = list(recipe.args)
            args[place] = make()
            yield f"argument {place + 1} is {what}", args, recipe.kwargs
    for keyword in recipe.kwargs:
        for what, make in STRANGE.items():
            yield f"{keyword} is {what}", recipe.args, recipe.kwargs | {keyword: make()}
    parameters = inspect.signature(recipe.function).parameters
    for keyword, values in {"axis": (99, -99, "0", 1.5, (0, 0)), "dtype": ("float31", 3, object()),
                            "device": ("cuda", 3), "out": (3,), "shape": (-1, "a", (2.5,)),
                            "size": (-1, "a", (2.5,))}.items():  # fmt: skip
        for value in values if keyword in parameters else ():
            place = list(parameters).index(keyword)
            if place >= len(recipe.args):
                yield f"{keyword} is {value!r}", recipe.args, recipe.kwargs | {keyword: value}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        yield "an unknown keyword", recipe.args, recipe.kwargs | {"no_such_keyword": 1}
    if not any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        yield "too many arguments", [*recipe.args, *[1] * 40], recipe.kwargs
    if recipe.args:
        yield "too few arguments", [], {}


def complaints(recipe: Recipe) -> list[str]:
    """The mistakes that are answered badly."""
    found = []
    for what, args, kwargs in wrong_calls(recipe):
        try:
            with warnings.catch_warnings(), tempfile.TemporaryDirectory() as place, chdir(place):
                warnings.simplefilter("ignore")  # files that are written by mistake go away
                recipe.function(*args, **kwargs)
        except AmbosError as error:
            if f"[{__file__.rpartition('/')[2]}:" not in str(error):
                found.append(f"{what}: no line in {str(error)[:200]!r}")
        except Exception as error:
            if callable(recipe.args[:1] and recipe.args[0]):
                continue  # a function of ours to call: what it raises is ours
            found.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
    return [f"{recipe.name}: {text}" for text in found]


def main() -> int:
    """All public functions: `make mistakes`."""
    from tests.public.recipes import functions, recipe

    found: list[str] = []
    calls = 0
    for name in functions():
        one = recipe(name)
        if one is None:
            found.append(f"{name}: has no call; write one into BY_HAND")
            continue
        calls += sum(1 for _ in wrong_calls(one))
        found += complaints(one)
    print(*found, f"{len(functions())} functions, {calls:,} mistakes, {len(found)} answered badly",
          sep="\n")  # fmt: skip
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
