"""What is renewed in place is read no more: steps under `jit` against the same ops one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import ambos as am
import ambos.nn.functional as F
from ambos.core.config import config

Steps = Callable[..., Sequence[am.Tensor]]
Values = Sequence[np.ndarray]
ROUNDS = 3


@pytest.fixture(autouse=True)
def _restore_config() -> Iterator[None]:
    fuse = config.fuse
    yield
    config.fuse = fuse


def outcome(steps: Steps, values: Values) -> list[bytes]:
    """Results of some rounds, and what the renewed tensors hold in the end."""
    state = [am.tensor(value) for value in values]
    found = [out.numpy().tobytes() for _ in range(ROUNDS) for out in steps(*state)]
    return found + [tensor.numpy().tobytes() for tensor in state]


def in_place(steps: Steps, values: Values) -> list[bool]:
    """Which of the tensors a recorded step leaves where they were."""
    state = [am.tensor(value) for value in values]
    recorded = am.jit(lambda: steps(*state))
    recorded()
    places = [tensor._node.value.address for tensor in state]
    recorded()
    return [tensor._node.value.address == at for tensor, at in zip(state, places, strict=True)]


def check(steps: Steps, values: Values) -> None:
    """The state of a recorded step is captured, so it may be overwritten; op by op nothing is."""
    config.fuse = False
    expected = outcome(steps, values)
    config.fuse = True
    state = [am.tensor(value) for value in values]
    recorded = am.jit(lambda: steps(*state))
    found = [out.numpy().tobytes() for _ in range(ROUNDS) for out in recorded()]
    assert found + [tensor.numpy().tobytes() for tensor in state] == expected


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- a result is stored in one pass over a row, its old value read in a later one ----------------


def normalised(p: am.Tensor) -> list[am.Tensor]:
    y = p / p.sum(-1, keepdim=True)
    p.mul_(2.0)
    return [y]


def variance(q: am.Tensor) -> list[am.Tensor]:
    found = q.var()
    q.mul_(0.5)
    return [found]


def deviation(w: am.Tensor) -> list[am.Tensor]:
    w.add_(1.0)
    return [((w - w.mean(-1, keepdim=True)) ** 2).sum(-1)]


def column_deviation(w: am.Tensor) -> list[am.Tensor]:
    w.add_(1.0)
    return [((w - w.mean(0, keepdim=True)) ** 2).sum(0)]


def softmax(w: am.Tensor) -> list[am.Tensor]:
    y = F.softmax(w, -1)
    w.mul_(0.5)
    return [y]


def replaced(w: am.Tensor, g: am.Tensor) -> list[am.Tensor]:
    total = (w * g).sum(-1)
    w.copy_(g * 0.5)
    return [total]


def renewed_by_its_fold(w: am.Tensor) -> list[am.Tensor]:
    w.sub_(w.mean(-1, keepdim=True))
    return [w.abs().sum(-1)]


def norm_of_the_new(w: am.Tensor, g: am.Tensor) -> list[am.Tensor]:
    w.sub_(g * 0.1)
    return [(w * w).sum(-1)]


ROWS: dict[str, tuple[Steps, Values]] = {
    "normalised": (normalised, [numbers(8, 64) + 3]),
    "variance": (variance, [numbers(1000)]),
    "variance, long": (variance, [numbers(300_000)]),
    "deviation": (deviation, [numbers(3, 4)]),
    "column deviation": (column_deviation, [numbers(40, 70)]),
    "softmax": (softmax, [numbers(5, 33)]),
    "replaced": (replaced, [numbers(5, 33), numbers(5, 33, seed=1)]),
    "renewed by its fold": (renewed_by_its_fold, [numbers(5, 33)]),
    "norm of the new": (norm_of_the_new, [numbers(5, 33), numbers(5, 33, seed=1)]),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name: str) -> None:
    check(*ROWS[name])


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"variance, long"}))
def test_rows_stay_in_place(name: str) -> None:
    """Stores wait for the last read, so that nothing has to move."""
    assert in_place(*ROWS[name])[0]


def test_the_mean_of_squares_by_hand() -> None:
    w = am.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    recorded = am.jit(lambda: deviation(w)[0])
    assert recorded().tolist() == [5.0, 5.0, 5.0]


# --- other kernels that read while they store ----------------------------------------------------


def product_over_its_operand(w: am.Tensor, x: am.Tensor) -> list[am.Tensor]:
    w.copy_(w @ x)
    return []


def product_over_the_other_operand(x: am.Tensor, w: am.Tensor) -> list[am.Tensor]:
    w.copy_(x @ w)
    return []


def product_added(w: am.Tensor, x: am.Tensor, y: am.Tensor) -> list[am.Tensor]:
    w.sub_((x @ y) * 0.1)
    return [w * 2]


def product_added_to_its_transpose(w: am.Tensor, x: am.Tensor) -> list[am.Tensor]:
    w.copy_((x @ x) * 0.1 + w.T)
    return []


def scanned(w: am.Tensor) -> list[am.Tensor]:
    w.copy_(w.cumsum(-1))
    return []


def sorted_(w: am.Tensor) -> list[am.Tensor]:
    w.copy_(w.sort(-1)[0])
    return []


def turned(w: am.Tensor) -> list[am.Tensor]:
    w.copy_(w.T * 0.5)
    return []


def half_turned(w: am.Tensor, x: am.Tensor) -> list[am.Tensor]:
    w.copy_(w + x.T)
    return [w.T + x]


def flipped(w: am.Tensor) -> list[am.Tensor]:
    w.copy_(w.flip(0) + w)
    return []


def rolled(w: am.Tensor) -> list[am.Tensor]:
    w.copy_(am.cat([w[2:], w[:2]]))
    return []


def woven(w: am.Tensor) -> list[am.Tensor]:
    w.copy_(am.stack([w[:, 1], w[:, 0]], 1))
    return []


def scattered(w: am.Tensor, index: am.Tensor) -> list[am.Tensor]:
    w.index_add_(0, index, w[:3] * 2 + w.sum())
    return []


def cached(w: am.Tensor, position: am.Tensor) -> list[am.Tensor]:
    before = w.sum(0)
    w[position] = before
    return [w.mean(-1), before]


def cached_from_itself(w: am.Tensor, position: am.Tensor) -> list[am.Tensor]:
    w[position] = w[2] + w.max()
    return []


def attended(w: am.Tensor) -> list[am.Tensor]:
    x = w.reshape(1, 1, *w.shape)
    w.copy_(F.scaled_dot_product_attention(x, x, x, is_causal=True).reshape(w.shape))
    return []


def padded(w: am.Tensor, k: am.Tensor) -> list[am.Tensor]:
    w.copy_(F.conv2d(w, k, padding=1) * 0.2)
    return []


def exchanged(a: am.Tensor, b: am.Tensor) -> list[am.Tensor]:
    old = a.clone()
    a.copy_(a + b.sum(-1, keepdim=True))
    b.copy_(old - b)
    return []


OTHERS: dict[str, tuple[Steps, Values]] = {
    "product over its operand": (product_over_its_operand, [numbers(20, 20), numbers(20, 20)]),
    "product over the other": (product_over_the_other_operand, [numbers(20, 20), numbers(20, 20)]),
    "product added": (product_added, [numbers(40, 50), numbers(40, 300), numbers(300, 50)]),
    "product and transpose": (product_added_to_its_transpose, [numbers(40, 40), numbers(40, 40)]),
    "scan": (scanned, [numbers(5, 70)]),
    "sort": (sorted_, [numbers(5, 70)]),
    "transpose": (turned, [numbers(130, 130)]),
    "half transpose": (half_turned, [numbers(130, 130), numbers(130, 130, seed=1)]),
    "flip": (flipped, [numbers(7, 20)]),
    "roll": (rolled, [numbers(7, 20)]),
    "weave": (woven, [numbers(7, 2)]),
    "scatter": (scattered, [numbers(7, 20), np.array([1, 1, 4])]),
    "cache": (cached, [numbers(7, 20), np.array([3])]),
    "cache from itself": (cached_from_itself, [numbers(7, 20), np.array([2])]),
    "attention": (attended, [numbers(70, 16)]),
    "convolution": (padded, [numbers(1, 3, 9, 9), numbers(3, 3, 3, 3)]),
    "exchange": (exchanged, [numbers(7, 20), numbers(7, 20, seed=1)]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kernels(name: str) -> None:
    check(*OTHERS[name])


# --- random steps --------------------------------------------------------------------------------

CHOICES = 16


@st.composite
def random_steps(draw: st.DrawFn) -> tuple[Steps, Values]:
    """Some operations on two matrices; a third of these renew one of the two."""
    rows, columns = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    shape = (rows, rows if draw(st.booleans()) else columns)
    seed = draw(st.integers(0, 1000))
    plan = draw(st.lists(st.tuples(*[st.integers(0, 99)] * 3), min_size=2, max_size=8))

    def steps(*state: am.Tensor) -> list[am.Tensor]:
        nodes: list[am.Tensor] = [tensor.clone() for tensor in state]
        for kind, first, second in plan:
            x, y = (nodes[n % len(nodes)] for n in (first, second))
            nodes.append(operation(kind % CHOICES, x, y, state[first % 2]))
        return [nodes[-1], nodes[-2].sum(seed % 2)]

    return steps, [numbers(*shape, seed=seed), numbers(*shape, seed=seed + 1)]


def operation(kind: int, x: am.Tensor, y: am.Tensor, leaf: am.Tensor) -> am.Tensor:
    """A matrix of the same shape, of moderate size."""
    match kind:
        case 0:
            return (x + y).tanh()
        case 1:
            return x * 0.5 + leaf
        case 2:
            return x - y.mean(-1, keepdim=True)
        case 3:
            return x - y.mean(0, keepdim=True)
        case 4:
            return x / (1 + y.abs().sum(-1, keepdim=True))
        case 5:
            return F.softmax(x, -1) + leaf
        case 6:
            return F.softmax(x, 0) * y
        case 7:
            return (x @ y.T @ leaf) * 0.01
        case 8:
            return x.flip(0) + leaf
        case 9:
            return x.T * 0.5 if x.shape[0] == x.shape[1] else x * 0.5
        case 10:
            return x - leaf.var()
        case 11:
            return am.cat([x[1:], leaf[:1]]) - y
        case 12:
            return leaf.copy_((x + y).tanh()).clone()
        case 13:
            return leaf.sub_(y * 0.1).clone()
        case _:
            return leaf.mul_(0.5).clone()


@settings(max_examples=60, phases=[Phase.generate])
@given(random_steps())
def test_random_steps(case: tuple[Steps, Values]) -> None:
    check(*case)
