"""`am.debug` stops where numbers go wrong, and names line and layer."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core.config import config
from ambos.core.errors import CastError, IndexingError, LinAlgError, NonFiniteError


def here() -> int:
    """The caller's line."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_the_first_operation_that_makes_one_is_named() -> None:
    def run() -> None:
        y = x.log()
        lines.append(here() - 1)
        (y * 2 + 1).numpy()

    x, lines = am.tensor([4.0, 0.0]), list[int]()
    with am.debug(nan=True), pytest.raises(NonFiniteError) as caught:
        run()
    assert "log: makes -inf at (1,), of 0.0" in str(caught.value)
    assert f"test_debugging.py:{lines[0]}]" in str(caught.value)


def test_what_nobody_looked_at_is_looked_at_in_the_end() -> None:
    with pytest.raises(NonFiniteError, match="divide"), am.debug():
        kept = am.tensor([0.0]) / am.tensor([0.0])
    assert np.isnan(kept.numpy()).all()  # outside the block: IEEE 754


def test_a_gradient_is_named_by_the_line_it_belongs_to() -> None:
    def run() -> None:
        y = x.sqrt()
        lines.append(here() - 1)
        y.sum().backward()
        assert x.grad is not None
        x.grad.numpy()

    x, lines = am.tensor([0.0, 1.0], requires_grad=True), list[int]()
    with am.debug(nan=True), pytest.raises(NonFiniteError) as caught:
        run()
    assert f"test_debugging.py:{lines[0]}'" in str(caught.value)


def test_infinities_that_came_in_are_not_made() -> None:
    with am.debug(nan=True):
        scores = am.zeros(2, 2).masked_fill(am.tensor([[True, False], [False, False]]), -np.inf)
        assert am.softmax(scores, axis=-1).numpy()[0].tolist() == [0.0, 1.0]
        data = am.tensor([np.nan, 1.0])
        assert np.isnan((data * 2).numpy()[0])


def test_infinities_that_become_nan_are_found() -> None:
    x = am.tensor([np.inf])
    with am.debug(nan=True), pytest.raises(NonFiniteError, match="subtract: makes nan"):
        (x - x).numpy()


class Attention(nn.Module):
    def forward(self, x: am.Tensor) -> am.Tensor:
        return am.log(x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.ReLU(), Attention())

    def forward(self, x: am.Tensor) -> am.Tensor:
        return self.encoder(x)


def test_the_layer_is_named() -> None:
    with pytest.raises(NonFiniteError, match=r"in layer 'encoder\.1'"), am.debug(nan=True):
        Net()(am.tensor([-1.0])).numpy()


def test_a_jitted_function_is_looked_into() -> None:
    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        return (x - 1).log().sum()

    x = am.tensor([1.0, 2.0])
    assert step(x).item() == -np.inf
    with pytest.raises(NonFiniteError, match="log"), am.debug(nan=True):
        step(x).item()
    assert step(x).item() == -np.inf


def test_settings_return_whatever_happens() -> None:
    before = config.fuse
    for bad in (False, True):
        try:
            with am.debug():
                assert config.fuse is False
                (am.tensor([0.0 if bad else 1.0]).log()).numpy()
        except NonFiniteError:
            pass
        assert config.fuse is before


def test_an_error_that_the_block_handles_is_not_raised_again() -> None:
    with am.debug(), pytest.raises(NonFiniteError):
        am.tensor([0.0]).log().numpy()


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        ([1e10], "int32", "cast: turns into"),
        ([np.nan], "int64", "nan"),
        ([300], "uint8", "of 300"),
        ([-1], "uint16", "of -1"),
    ],
)
def test_conversions_that_lose_values(values: list[float], dtype: str, words: str) -> None:
    x = am.tensor(values) + am.zeros(1, dtype=am.tensor(values).dtype)
    with pytest.raises(CastError, match=words), am.debug(nan=False):
        (x + 0).to(getattr(am, dtype)).numpy()


def test_conversions_that_fit_pass() -> None:
    with am.debug():
        assert am.tensor([1.9, -1.9]).to(am.int8).tolist() == [1, -1]
        assert am.tensor([255]).to(am.uint8).tolist() == [255]


def test_an_index_out_of_range_leads_to_the_line_that_recorded_it() -> None:
    index = am.tensor([0, 9]) + 0
    rows, line = am.take(am.eye(3), index, axis=0), here()
    with pytest.raises(IndexingError) as caught:
        (rows * 2).numpy()
    assert f"test_debugging.py:{line}]" in str(caught.value)


def test_an_index_out_of_range_in_a_jitted_function_leads_there_too() -> None:
    lines = []

    @am.jit
    def step(index: am.Tensor) -> am.Tensor:
        rows = am.take(am.eye(3), index, axis=0)
        lines.append(here() - 1)
        return rows

    step(am.tensor([0, 1])).numpy()
    with pytest.raises(IndexingError) as caught:
        step(am.tensor([0, 9])).numpy()
    assert f"test_debugging.py:{lines[0]}]" in str(caught.value)


def test_an_embedding_names_its_layer() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(4, 2)

        def forward(self, x: am.Tensor) -> am.Tensor:
            return self.embed(x + 1)

    with pytest.raises(IndexingError, match="in layer 'embed'"), am.debug():
        Words()(am.tensor([3])).numpy()


def test_losses_still_work_inside() -> None:
    with am.debug():
        x = am.randn(4, 3, requires_grad=True)
        loss = F.cross_entropy(x, am.tensor([0, 1, 2, 0]))
        loss.backward()
        assert x.grad is not None
        assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("wrap", [lambda f: f, am.jit], ids=["lazy", "jit"])
def test_the_same_call_is_caught_again(wrap):
    x = am.ones(2, 4)
    logarithm = wrap(lambda v: am.log(v - 1000))
    for _ in range(3):
        with pytest.raises(NonFiniteError), am.debug(nan=True):
            logarithm(x).numpy()


def test_what_is_found_at_evaluation_names_its_layer() -> None:
    """Without `am.debug`: operations whose values may turn out wrong are always noted."""

    class Whitened(nn.Module):
        def forward(self, x: am.Tensor) -> am.Tensor:
            return am.linalg.cholesky(x)

    y = nn.Sequential(nn.ReLU(), nn.Sequential(Whitened()))(-am.eye(3))
    with pytest.raises(LinAlgError, match=r"\[test_debugging.py:\d+, in layer '1\.0'\]"):
        y.numpy()


def test_a_wrong_index_names_the_embedding() -> None:
    y = nn.Sequential(nn.Embedding(5, 3), nn.ReLU())(am.tensor([0, 9]))
    with pytest.raises(IndexingError, match=r"index 9 .*\[test_debugging.py:\d+, in layer '0'\]"):
        y.numpy()
