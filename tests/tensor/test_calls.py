"""Launches that Python computes: inside programs, recordings and stored plans, and their errors."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.config import config
from ambos.core.errors import DTypeError, LinAlgError, ShapeError
from ambos.tensor.profile import profile


def spd(*batch: int, n: int = 4, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(*batch, n, n)).astype("f4")
    return a @ np.swapaxes(a, -1, -2) + n * np.eye(n, dtype="f4")


def here() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def loss_of(x: am.Tensor) -> am.Tensor:
    u, s, vh = am.linalg.svd(x @ x.mT + 1)
    return (am.linalg.inv(u * s[..., None, :] @ vh) * x.exp()).sum() + am.linalg.slogdet(x)[1].sum()


def test_fused_op_by_op_and_jitted_give_the_same_bits() -> None:
    def run(function, fuse: bool) -> list[bytes]:
        before, config.fuse = config.fuse, fuse
        try:
            x = am.tensor(spd(3), requires_grad=True)
            loss = function(x)
            loss.backward()
            return [loss.detach().numpy().tobytes(), x.grad.numpy().tobytes()]
        finally:
            config.fuse = before

    fused = run(loss_of, True)
    assert fused == run(loss_of, False)

    @am.jit
    def recorded(x: am.Tensor) -> tuple[am.Tensor, am.Tensor]:
        loss, grad = am.value_and_grad(loss_of)(x)
        return loss, grad

    for _ in range(3):
        found = recorded(am.tensor(spd(3)))
        assert [value.numpy().tobytes() for value in found] == fused


def test_a_matrix_has_the_same_bits_alone_and_in_a_batch() -> None:
    a = spd(5)
    whole = am.linalg.inv(am.tensor(a)).numpy()
    for number, one in enumerate(a):
        assert am.linalg.inv(am.tensor(one)).numpy().tobytes() == whole[number].tobytes()


@pytest.mark.parametrize("fuse", [True, False])
def test_results_of_one_call_or_loop_come_from_one_launch(
    fuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "fuse", fuse)
    x = am.tensor(spd(2))
    with profile() as found:
        am.evaluate(*am.linalg.svd(x + 1))
        am.evaluate(*am.scan(lambda c, row: (c + row, c * row), am.zeros(4), x[0]))
    calls = {name: sum(row.calls for row in found.rows if name in row.kernel)
             for name in ("linalg.svd", "scan")}  # fmt: skip
    assert calls == {"linalg.svd": 1, "scan": 1}


def test_operands_in_any_layout() -> None:
    a, b = spd(3), np.random.default_rng(1).normal(size=(3, 2, 4)).astype("f4")
    x, y = am.tensor(a), am.tensor(b)
    expected = np.linalg.solve(a, np.swapaxes(b, -1, -2))
    np.testing.assert_allclose(am.linalg.solve(x.mT, y.mT).numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(am.linalg.inv(x[::2]).numpy(), np.linalg.inv(a[::2]), rtol=1e-3)
    padded = am.linalg.inv(x[:, :3, :3]).numpy()
    np.testing.assert_allclose(padded, np.linalg.inv(a[:, :3, :3]), rtol=1e-3)
    same = am.linalg.solve(x, x).numpy()
    np.testing.assert_allclose(same, np.broadcast_to(np.eye(4), (3, 4, 4)), atol=1e-5)


def test_a_new_batch_size_compiles_nothing() -> None:
    from ambos.runtime import loader

    def run(count: int) -> None:
        (am.linalg.inv(am.tensor(spd(count)) * 2) + 1).numpy()

    run(3)
    run(5)
    compiled = loader.statistics.compiled
    run(7)
    assert loader.statistics.compiled == compiled


# --- errors --------------------------------------------------------------------------------------


def singular() -> np.ndarray:
    a = spd(4)
    a[3] = 1
    return a


def test_the_error_names_the_matrix_and_the_line_that_recorded() -> None:
    x = am.tensor(singular())
    found, line = am.linalg.inv(x), here()
    with pytest.raises(LinAlgError) as error:
        found.sum().item()
    message = str(error.value)
    assert message == (
        "linalg.inv: matrix 3 of the batch is singular; need full rank: use am.linalg.pinv or "
        f"am.linalg.lstsq [test_calls.py:{line}]"
    )
    with pytest.raises(LinAlgError):  # and again: nothing has changed
        found.numpy()
    np.testing.assert_allclose(x.sum().item(), singular().sum(), rtol=1e-6)


def test_one_matrix_is_not_called_a_batch() -> None:
    with pytest.raises(LinAlgError, match=r"^linalg.cholesky: the matrix is not positive definite"):
        am.linalg.cholesky(am.tensor([[1.0, 2.0], [2.0, 1.0]])).numpy()


def test_errors_of_gradients_name_the_line_that_is_differentiated() -> None:
    x = am.tensor(np.zeros((2, 2), "f4"), requires_grad=True)
    found, line = am.linalg.slogdet(x), here()
    found.logabsdet.backward()
    with pytest.raises(LinAlgError, match=rf"\[test_calls.py:{line}'?\]$|\[test_calls.py:\d+\]$"):
        x.grad.numpy()


def test_shapes_and_dtypes_are_checked_when_it_is_recorded() -> None:
    with pytest.raises(
        ShapeError, match=r"linalg.inv: got shape \(2, 3\); need square.*test_calls"
    ):
        am.linalg.inv(am.ones(2, 3))
    with pytest.raises(ShapeError, match=r"linalg\.svd: got shape"):
        am.linalg.svd(am.ones(3))
    with pytest.raises(DTypeError, match="need float32, float64 or complex: cast"):
        am.linalg.inv(am.ones(2, 2, dtype=am.float16))


@pytest.mark.parametrize("inside", [True, False], ids=["in the loss", "after the update"])
def test_a_failing_step_leaves_parameters_as_they_were(inside: bool) -> None:
    am.manual_seed(0)
    layer, other = nn.Linear(4, 4), nn.Linear(4, 4)
    optimizer = optim.Adam([*layer.parameters(), *other.parameters()], lr=0.1)

    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        loss = (other(x[0]) ** 2).mean()
        if inside:
            loss = loss + am.linalg.inv(x + 0 * layer.weight).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss if inside else loss + am.linalg.inv(x + 0 * other.weight).sum()

    def state() -> list[bytes]:
        tensors = [*layer.parameters(), *other.parameters()]
        held = [t.detach().numpy().tobytes() for t in tensors]
        return [*held, *(v.numpy().tobytes() for s in optimizer.state_dict()["state"].values()
                         for v in s.values() if isinstance(v, am.Tensor))]  # fmt: skip

    good = am.tensor(spd(2))
    for _ in range(3):
        step(good)
    before = state()
    for _ in range(2):
        with pytest.raises(LinAlgError, match="matrix 1 of the batch is singular"):
            step(am.tensor(np.stack([spd(), np.ones((4, 4), "f4")])))
        assert state() == before
    losses = [step(good).item() for _ in range(2)]
    assert losses[0] != losses[1]
    assert state() != before


def test_a_failing_step_of_the_plain_loop_leaves_parameters_as_they_were() -> None:
    am.manual_seed(0)
    layer = nn.Linear(4, 4)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)

    def step(x: am.Tensor) -> float:
        loss = am.linalg.inv(x + 0 * layer.weight).sum() + (layer(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    def state() -> list[bytes]:
        moments = [v for s in optimizer.state_dict()["state"].values() for v in s.values()]
        tensors = [*layer.parameters(), *(v for v in moments if isinstance(v, am.Tensor))]
        numbers = [repr(v).encode() for v in moments if not isinstance(v, am.Tensor)]
        return [t.detach().numpy().tobytes() for t in tensors] + numbers

    good, bad = am.tensor(spd()), am.ones(4, 4)
    for _ in range(2):  # before the first step, and after two
        before = state()
        with pytest.raises(LinAlgError, match="the matrix is singular"):
            step(bad)
        assert state() == before
        assert step(good) != step(good)


def test_an_interrupt_is_no_broken_state(monkeypatch: pytest.MonkeyPatch) -> None:
    x = am.linalg.inv(am.tensor(spd()))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "inv", interrupt)
        with pytest.raises(KeyboardInterrupt):
            x.numpy()
    np.testing.assert_allclose(x.numpy(), np.linalg.inv(spd()), rtol=1e-4)


def test_programs_may_run_inside_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler may compute, even with the same program and with more memory."""
    inverse = np.linalg.inv
    seen = []

    @am.jit
    def run(x: am.Tensor) -> am.Tensor:
        y = (x * 2).softmax(-1) + x
        return am.linalg.inv(y) @ y + am.linalg.cholesky(y @ y.mT) @ y

    def meanwhile(a: np.ndarray) -> np.ndarray:
        if len(seen) == 1:
            seen.append(am.rand(300, 300).softmax(-1).sum().item())
            seen.append(run(am.tensor(spd(2, seed=5))).numpy())
        return inverse(a)

    x = am.tensor(spd(2))
    seen.append(run(x).numpy().copy())
    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "inv", meanwhile)
        assert run(x).numpy().tobytes() == seen[0].tobytes()
    assert abs(seen[1] - 300) < 1e-3
    assert seen[2].tobytes() == run(am.tensor(spd(2, seed=5))).numpy().tobytes()


def test_numpy_stays_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        am.linalg.det(am.full((2, 2), 1e38)).numpy()
        am.linalg.matrix_exp(am.full((2, 2), 1e3)).numpy()


# --- stored plans --------------------------------------------------------------------------------

SCRIPT = """
import sys
import ambos as am
from ambos.runtime import loader
x = am.arange(12.0).reshape(3, 4)
u, s, vh = am.linalg.svd(x @ x.T + am.eye(3))
y = ((u * s) @ vh).exp().sum(0) + am.linalg.inv(x[:, :3] + am.eye(3))
print(int("ambos.compiler.pipeline" in sys.modules), loader.statistics.compiled,
      y.numpy().tobytes().hex(), loader.statistics.compiled,
      int("ambos.compiler.pipeline" in sys.modules))
"""


def test_another_process_plans_and_compiles_nothing(tmp_path: Path) -> None:
    def run() -> list[str]:
        environment = {**os.environ, "AMBOS_CACHE": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return done.stdout.split()

    first, second = run(), run()
    assert first[2] == second[2]
    assert int(first[3]) > 0
    assert second[3:] == ["0", "0"]
