"""Spellings of arguments, and what is exported under which name."""

import inspect

import pytest

import ambos as am
from ambos.core.errors import UnknownNameError
from ambos.tensor import methods, public


def test_both_spellings():
    x = am.arange(6.0).reshape(2, 3)
    assert x.sum(dim=0).tolist() == x.sum(axis=0).tolist() == [3, 5, 7]
    assert x.sum(axis=0, keepdim=True).shape == x.sum(dim=0, keepdims=True).shape == (1, 3)
    assert am.add(input=x, other=1).shape == (2, 3)
    assert am.pow(x, exponent=2)[0, 2].item() == 4
    assert am.permute(x, 1, 0).shape == (3, 2)
    assert am.squeeze(x[None], dim=0).shape == (2, 3)
    assert am.swapaxes(x, axis0=0, axis1=1).shape == (3, 2)


def test_unknown_arguments():
    with pytest.raises(UnknownNameError, match=r"sum: unknown argument 'axes_'; need one of x,"):
        am.sum([1.0], axes_=0)
    with pytest.raises(UnknownNameError, match=r"'keepdimz'.* Did you mean 'keepdims?'"):
        am.sum([1.0], keepdimz=True)


def test_every_public_function_is_documented():
    for name, value in public.names().items():
        if callable(value):
            assert inspect.getdoc(value), name
            first = inspect.getdoc(value).splitlines()[0]
            assert first.strip(), name


def test_every_method_is_documented():
    missing = [
        name
        for name in dir(am.Tensor)
        if not name.startswith("_") and not inspect.getdoc(getattr(am.Tensor, name))
    ]
    assert missing == []


def test_dir_lists_what_exists():
    assert {"sin", "Tensor", "float32", "nn", "random", "no_grad"} <= set(dir(am))
    assert {"sin", "sum", "backward", "T"} <= set(dir(am.Tensor))


def test_in_place_methods_exist_for_every_name_in_the_table():
    for name in methods.IN_PLACE.split():
        assert hasattr(am.Tensor, f"{name}_")


def _takes_any_keyword(function):
    return any(
        p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(
    name for name, value in public.names().items()
    if inspect.isfunction(value) and not _takes_any_keyword(value)
))  # fmt: skip
def test_every_function_answers_a_misspelt_keyword(name):
    if name in ("is_grad_enabled", "result_type"):
        return  # without named arguments
    with pytest.raises(UnknownNameError, match=rf"'zzyzx'.*{__name__.rpartition('.')[2]}.py"):
        getattr(am, name)(zzyzx=1)


@pytest.mark.parametrize(("call", "meant"), [
    (lambda: am.tensor([1], dtyp="int8"), "dtype"), (lambda: am.grad(abs, argnum=1), "argnums"),
    (lambda: am.value_and_grad(abs, has_au=True), "has_aux"),
    (lambda: am.random.key(sead=1), "seed"), (lambda: am.set_printoptions(precison=2), "precision"),
])  # fmt: skip
def test_misspelt_keywords(call, meant):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{meant}'"):
        call()


@pytest.mark.parametrize(("name", "text"), [
    ("lode", "need an existing name"), ("compil", "need an existing name"),
    ("tensr", "mean 'tensor'"),
])  # fmt: skip
def test_suggestions_are_public(name, text):
    with pytest.raises(UnknownNameError, match=text) as caught:
        getattr(am, name)
    for internal in ("'_", "compiler", "importlib"):
        assert internal not in str(caught.value)


def test_dir_hides_what_is_internal():
    assert not {"importlib", "annotations", "Any", "compiler", "runtime", "_load"} & set(dir(am))
