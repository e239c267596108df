"""Some of the public functions with every typical mistake; `make mistakes` takes all."""

from __future__ import annotations

import inspect

import pytest

import ambos as am
from ambos.core.errors import AmbosError, ArgumentError, OutOfMemoryError
from ambos.core.misuse import explained
from tests.parity import modules
from tests.public import layers
from tests.public.mistakes import complaints
from tests.public.recipes import functions, recipe

SLICE = sorted(functions())[5::24]


@pytest.mark.parametrize("name", SLICE)
def test_mistakes_are_answered(name: str) -> None:
    found = recipe(name)
    assert found is not None, f"write a call of {name} into BY_HAND"
    assert complaints(found) == []


@pytest.mark.parametrize("name", modules.mapped()[7::24])
def test_mistakes_with_layers_are_answered(name: str) -> None:
    assert layers.complaints(name) == []


def test_what_is_missing_is_named_and_found_as_a_type_error_too() -> None:
    with pytest.raises(TypeError, match=r"^flip: missing a required argument: 'x'; need flip\(x, "):
        am.flip(axis=0)


def test_the_function_that_was_called_is_named_not_one_inside() -> None:
    def function(x: object, *, n: int = 0) -> None: ...

    deep = IndexError("tuple index out of range")
    inner = explained("inner", function, (1,), {}, deep)
    assert inner is not None
    outer = explained("outer", function, (am.ones(2, 3),), {"n": 4}, inner)
    assert str(outer).startswith(
        "outer: cannot take (Tensor of float32 (2, 3), n=4): tuple index out of range; "
        "need outer(x, *, n=0) [test_mistakes.py:"
    )
    assert isinstance(outer, ArgumentError)
    assert outer.__cause__ is deep
    assert explained("outer", function, (1,), {}, ArgumentError("says it all")) is None


def test_what_the_user_s_own_function_raises_stays_as_it_is() -> None:
    def mine(x: am.Tensor) -> am.Tensor:
        raise KeyError("mine")

    for transform in (am.grad, am.jit, am.value_and_grad):
        with pytest.raises(KeyError, match="mine"):
            transform(mine)(am.ones(3))


IMPOSSIBLE = {
    "a result": lambda: am.zeros(2**40).numpy(),
    "of an expansion": lambda: (am.tensor([[1.0]]).expand(2**20, 2**20) + 1).numpy(),
    "of a product": lambda: am.outer(am.arange(2.0**20), am.arange(2.0**20)).numpy(),
    "on the way": lambda: am.sort(am.full((2**40,), 1.0))[0].sum().item(),
    "random": lambda: am.rand(2**40).numpy(),
    "evenly spaced": lambda: am.linspace(0, 1, 2**40).numpy(),
    "a call's": lambda: am.fft.fft(am.ones(8), n=2**40).numpy(),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_memory_that_no_machine_has_is_refused_with_its_size(name: str) -> None:
    with pytest.raises(OutOfMemoryError, match=r"TiB.*\[test_mistakes\.py:\d+\]"):
        IMPOSSIBLE[name]()
    assert (am.ones(3) + 1).sum().item() == 6


def test_more_elements_than_can_be_counted_are_refused_when_recorded() -> None:
    for shape in ((2**63,), (2**32, 2**32), (2**31, 2**31, 2)):
        with pytest.raises(AmbosError, match="too large; need less than"):
            am.zeros(shape)


def test_classes_show_what_they_are_made_with() -> None:
    shown = str(inspect.signature(am.nn.Linear))
    assert shown.startswith("(in_features: ")
    with pytest.raises(
        AmbosError, match=r"unknown keyword 'from_logit'.*Did you mean 'from_logits'"
    ):
        am.metrics.BinaryAccuracy(from_logit=True)  # which hands what it is given on
