"""A call that works, for every public function: what sweeps over the namespace start from.

Most are found by trying: each required parameter has candidates by its name, and the first
combination that computes is taken. What is not found so is written down in `BY_HAND`; a function
that has neither fails a test, so none is forgotten.
"""

from __future__ import annotations

import inspect
import itertools
import os
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import h5py

import ambos as am
import ambos.nn.functional as F
from ambos.core import tree
from ambos.core.errors import AmbosError

SPACES = {
    "": am,
    "nn.functional": F,
    "linalg": am.linalg,
    "fft": am.fft,
    "special": am.special,
    "random": am.random,
    "masked": am.masked,
    "signal.windows": am.signal.windows,
}
TRIALS = 3000


@dataclass(slots=True)
class Recipe:
    """`function(*args, **kwargs)`."""

    name: str
    function: Callable[..., Any]
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> Any:
        return looked_at(self.function(*self.args, **self.kwargs))


def looked_at(found: Any) -> Any:
    """Computed, whatever it consists of."""
    am.evaluate(*(leaf for leaf in tree.leaves(found) if isinstance(leaf, am.Tensor)))
    return found


def functions() -> dict[str, Callable[..., Any]]:
    """Every public function by its name, under one of its names if it has several."""
    found: dict[str, Callable[..., Any]] = {}
    seen: set[int] = set()
    for place, module in SPACES.items():
        names = getattr(module, "__all__", None) or [n for n in dir(module) if n[0] != "_"]
        for name in sorted(n for n in dir(am) if n[0] != "_") if module is am else names:
            function = getattr(module, name)
            if isinstance(function, types.ModuleType | type) or not callable(function):
                continue
            if id(function) not in seen and not isinstance(function, am.Tensor):
                seen.add(id(function))
                found[f"{place}.{name}".lstrip(".")] = function
    return found


# --- arguments -----------------------------------------------------------------------------------


def reals(*shape: int) -> am.Tensor:
    count = am.arange(float(am.ones(*shape).numel())) if shape else am.tensor(7.0)
    return (((count * 7) % 11 - 5) / 6 + 0.05).reshape(shape)


def whole(*shape: int, below: int = 3) -> am.Tensor:
    return (am.arange(am.ones(*shape).numel()) % below).reshape(shape)


def truths(*shape: int) -> am.Tensor:
    return whole(*shape, below=2) == 1


def definite() -> am.Tensor:
    a = reals(4, 4)
    return a @ a.T + 4 * am.eye(4)


def made(makers: list[Callable[[], Any]]) -> list[Any]:
    return [make() for make in makers]


MAIN = [
    lambda: reals(4, 4),
    lambda: reals(4),
    lambda: whole(4, 4),
    lambda: truths(4, 4),
    lambda: reals(2, 4, 8),
    lambda: reals(2, 4, 8, 8),
    lambda: reals(2, 4, 4, 8, 8),
    lambda: definite(),
    lambda: am.complex(reals(4, 4), reals(4, 4)),
    lambda: reals(4, 4, 4),
    lambda: reals(),
    lambda: whole(4) + 1,
]
SIZES = [lambda: 2, lambda: 4, lambda: (2, 2), lambda: 3, lambda: (4, 4), lambda: (2, 2, 2)]
POSITIONS = [
    lambda: whole(4),
    lambda: whole(4, 4),
    lambda: whole(2, 4),
    lambda: [whole(4)],
    lambda: whole(2, 4, 2, 2),
    lambda: 1,
]
CANDIDATES: dict[str, list[Callable[[], Any]]] = {
    "x": MAIN,
    "input": [MAIN[5], MAIN[4], MAIN[0], MAIN[6], *MAIN[:4]],
    "y": MAIN,
    "z": MAIN,
    "axis": [lambda: 0, lambda: 1],
    "indices": POSITIONS,
    "segment_ids": [lambda: whole(4)],
    "target": [*MAIN[:2], lambda: whole(4), lambda: whole(4) - 1, lambda: am.float32],
    "weight": [
        lambda: reals(3, 4),
        lambda: reals(3, 4, 3),
        lambda: reals(3, 4, 3, 3),
        lambda: reals(3, 4, 3, 3, 3),
        lambda: reals(4, 3, 3),
        lambda: reals(4, 3, 3, 3),
        lambda: reals(4, 3, 3, 3, 3),
        lambda: reals(3, 4, 4),
        lambda: 0.5,
    ],
    "updates": [*MAIN[:2], lambda: reals(4, 2), lambda: reals(3)],
    "arrays": [lambda: [reals(4, 4), reals(4, 4)]],
    "*arrays": [lambda: reals(4, 4)],
    "output_size": [*SIZES, lambda: (8, 8)],
    "value": [lambda: 1.5, MAIN[4]],
    "window_length": SIZES,
    "n": SIZES,
    "kernel_size": SIZES,
    "size": [*SIZES, lambda: (2, 4, 3, 3)],
    "indices_or_sections": SIZES,
    "start": [lambda: 1],
    "stop": [lambda: 3],
    "step": [lambda: 2],
    "dtype": [lambda: am.float32, lambda: am.int32],
    "shape": [lambda: (4, 4)],
    "*more": [],
    "*shape": SIZES[1:2],
    "q": [lambda: 0.5, lambda: 50],
    "values": [lambda: reals(4)],
    "key": [lambda: am.random.key(0), MAIN[4]],
    "data": [lambda: [1.0, 2.0], lambda: 3],
    "fn": [lambda: lambda x: x.sum()],
    "mask": [lambda: truths(4, 4)],
    "p": [lambda: 2],
    "tau": [lambda: reals(4)],
    "norm_type": [lambda: 2.0],
    "min": [lambda: 0.0],
    "max": [lambda: 1.0],
    "source": [lambda: 0, lambda: am.int32],
    "destination": [lambda: 1],
    "padding": [lambda: (1, 1), lambda: [(1, 1), (0, 1)]],
    "pad": [lambda: (1, 1)],
    "*operands": MAIN[:1],
    "fill_value": [lambda: 2.0],
    "reduce": [lambda: "prod"],
    "n_fft": [lambda: 4],
    "k": [lambda: 2],
    "seed": [lambda: 0],
    "A": MAIN[:1],
    "*axes": [],
    "low": [lambda: 3],
    "mode": [lambda: False],
    "sizes": [lambda: (1, 3), lambda: (2, 2)],
    "row": [lambda: 3],
    "col": [lambda: 3],
    "normalized_shape": [lambda: (8,)],
    "*shapes": [lambda: (4, 4)],
    "*tensors": MAIN[:1],
    "M": [lambda: 8],
    "std": [lambda: 1.0],
    "beta": [lambda: 2.0],
    "alpha": [lambda: 0.5],
    "*several": [],
    "*spacings": [],
    "*repeats": [lambda: 2],
    "num_samples": [lambda: 2],
    "length": [lambda: 2],
    "shift": [lambda: 1],
    "num_classes": [lambda: 5],
    "chunks": [lambda: 2],
    "boundaries": [lambda: am.arange(4.0)],
    "sorted_sequence": [lambda: am.arange(4.0)],
    "axis0": [lambda: 0],
    "axis1": [lambda: 1],
    "axes": [lambda: (1, 0)],
    "kind": [lambda: "integral"],
    "extent": [lambda: 4, lambda: 10],
    "array": [lambda: reals(4).numpy().copy()],
    "condition": [lambda: truths(4, 4)],
    "groups": [lambda: 2],
    "num_groups": [lambda: 2],
    "upscale_factor": [lambda: 2],
    "downscale_factor": [lambda: 2],
    "threshold": [lambda: 0.1],
    "tensor": [lambda: whole(4)],
    "maxnorm": [lambda: 1.0],
    "upper": [lambda: True],
    "count": [lambda: am.full((4,), 5.0)],
    "prob": [lambda: am.full((4,), 0.5)],
    "running_mean": [lambda: reals(4)],
    "running_var": [lambda: am.ones(4)],
    "var": [lambda: am.ones(4, 4)],
    "self": [lambda: am.zeros(4)],
    "physical_layout": [lambda: (1, 0)],
    "stride": [lambda: (4, 1)],
    "chunk": [lambda: 2],
    "test_elements": MAIN[:1],
    "elements": MAIN[:1],
    "other": MAIN[:1],
    "window": [lambda: 4],
}


def lu() -> tuple[am.Tensor, am.Tensor]:
    found: tuple[am.Tensor, am.Tensor] = am.linalg.lu_factor(definite())
    return found


def probabilities() -> am.Tensor:
    return am.softmax(reals(6, 2, 5), axis=-1).log()


def places() -> am.Tensor:
    """Where max_pool2d of (1, 1, 4, 4) found its results."""
    return am.tensor([[[[0, 2], [8, 10]]]])


Arguments = tuple[list[Any], dict[str, Any]]
IMAGES = lambda: [reals(1, 2, 4, 4)]


@cache
def written() -> str:
    """The path of a file with a tensor in it."""
    path = os.path.join(tempfile.mkdtemp(prefix="ambos-recipes-"), "weights.safetensors")
    am.save({"weight": reals(4)}, path)
    return path


@cache
def of_keras() -> str:
    """The path of a file in Keras's layout."""
    path = os.path.join(tempfile.mkdtemp(prefix="ambos-recipes-"), "a.weights.h5")
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = reals(4, 1).numpy()
    return path


BY_HAND: dict[str, Callable[[], Arguments]] = {
    "cartesian_prod": lambda: ([reals(2), reals(3)], {}),
    "functional_call": lambda: ([am.nn.Linear(4, 4), {"bias": reals(4)}, reals(4, 4)], {}),
    "stack_modules": lambda: ([[am.nn.Linear(4, 4), am.nn.Linear(4, 4)]], {}),
    "cross": lambda: ([reals(4, 3), reals(4, 3)], {"axis": 1}),
    "linalg.cross": lambda: ([reals(4, 3), reals(4, 3)], {"axis": 1}),
    "einsum": lambda: (["ij,jk->ik", reals(4, 4), reals(4, 4)], {}),
    "log_softmax": lambda: ([reals(4, 4)], {"axis": 1}),
    "softmax": lambda: ([reals(4, 4)], {"axis": 1}),
    "softmin": lambda: ([reals(4, 4)], {"axis": 1}),
    "lu_solve": lambda: ([reals(4, 2), *lu()], {}),
    "lu_unpack": lambda: ([*lu()], {}),
    "linalg.lu_solve": lambda: ([*lu(), reals(4, 2)], {}),
    "linalg.ldl_solve": lambda: ([*am.linalg.ldl_factor(definite()), reals(4, 2)], {}),
    "meshgrid": lambda: ([reals(2), reals(3)], {"indexing": "ij"}),
    "randint": lambda: ([3], {"size": (4,)}),
    "random.integers": lambda: ([], {"low": 0, "high": 3, "shape": (4,)}),
    "view_as_complex": lambda: ([reals(4, 2)], {}),
    "nn.functional.affine_grid": lambda: ([reals(2, 2, 3), (2, 4, 3, 3)], {}),
    "nn.functional.ctc_loss": lambda: (
        [probabilities(), whole(2, 3) + 1, am.tensor([6, 5]), am.tensor([3, 2])],
        {},
    ),
    "nn.functional.fractional_max_pool2d": lambda: ([reals(1, 2, 6, 6), 2], {"output_size": 3}),
    "nn.functional.fractional_max_pool3d": lambda: ([reals(1, 2, 6, 6, 6), 2], {"output_size": 3}),
    "nn.functional.grid_sample": lambda: (
        [reals(2, 4, 3, 3), reals(2, 2, 2, 2)],
        {"align_corners": False},
    ),
    "nn.functional.interpolate": lambda: (IMAGES(), {"scale_factor": 2}),
    "nn.functional.upsample": lambda: (IMAGES(), {"scale_factor": 2}),
    "nn.functional.upsample_bilinear": lambda: (IMAGES(), {"scale_factor": 2}),
    "nn.functional.upsample_nearest": lambda: (IMAGES(), {"scale_factor": 2}),
    "nn.functional.max_unpool2d": lambda: ([reals(1, 1, 2, 2), places(), 2], {}),
    "nn.functional.max_unpool3d": lambda: ([reals(1, 1, 1, 2, 2), places()[:, None] % 8, 2], {}),
    "nn.functional.scaled_dot_product_attention": lambda: ([reals(2, 3, 4, 8)] * 3, {}),
    "nn.functional.multi_head_attention_forward": lambda: (
        [
            *[reals(5, 2, 8)] * 3,
            8,
            2,
            reals(24, 8),
            reals(24),
            None,
            None,
            False,
            0.0,
            reals(8, 8),
            reals(8),
        ],
        {},
    ),
    "save": lambda: ([{"weight": reals(4)}, written()], {}),
    "load": lambda: ([written()], {}),
    "load_torch": lambda: ([am.nn.Linear(4, 1, bias=False), {"weight": reals(1, 4)}], {}),
    "load_keras": lambda: ([am.nn.Linear(4, 1, bias=False), of_keras()], {}),
    "jvp": lambda: ([am.sin, (reals(2),), (reals(2),)], {}),
    "scan": lambda: ([am.broadcast_tensors, reals(2), reals(3, 2)], {}),
    "while_loop": lambda: ([am.signbit, am.neg, am.tensor(-1.0)], {}),
    "map": lambda: ([am.sin, reals(3, 2)], {"batch_size": 2}),
    "associative_scan": lambda: ([am.add, reals(4, 2)], {}),
    "fori_loop": lambda: ([0, 3, am.add, am.tensor(0)], {}),
    "cond": lambda: ([am.tensor(True), am.sin, am.cos, reals(2)], {}),
    "switch": lambda: ([am.tensor(1), [am.sin, am.cos], reals(2)], {}),
    "random.categorical": lambda: ([], {"logits": reals(4, 4)}),
    "random.dirichlet": lambda: ([], {"concentration": am.ones(4)}),
    "signal.windows.exponential": lambda: ([8], {}),
    "signal.windows.general_cosine": lambda: ([8], {"a": [0.5, 0.4, 0.1]}),
}


# --- finding -------------------------------------------------------------------------------------


@cache
def recipe(name: str) -> Recipe | None:
    """The call of a function, or None where nothing that was tried computes."""
    function = functions()[name]
    if name in BY_HAND:
        return Recipe(name, function, *BY_HAND[name]())
    for args, kwargs in itertools.islice(trials(function), TRIALS):
        found = Recipe(name, function, args, kwargs)
        try:
            found()
        except (AmbosError, TypeError):
            continue
        return found
    return None


def trials(function: Callable[..., Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    parameters = inspect.signature(function).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    names = ["*" * (p.kind == p.VAR_POSITIONAL) + p.name for p in needed]
    choices = [made(CANDIDATES.get(name, MAIN[:2])) for name in names]
    choices = [c for c, name in zip(choices, names, strict=True) if c or name[0] != "*"]
    wanted = [p for p, name in zip(needed, names, strict=True) if CANDIDATES.get(name) != []]
    for combination in itertools.product(*choices):
        pairs = list(zip(wanted, combination, strict=True))
        yield (
            [value for p, value in pairs if p.kind is not p.KEYWORD_ONLY],
            {p.name: value for p, value in pairs if p.kind is p.KEYWORD_ONLY},
        )
