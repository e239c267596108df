"""Array: other layouts hold the same values; zeros are not copied for them."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos import optim
from ambos.core.dtype import ALL, bfloat16, float32
from ambos.core.shape import row_major
from ambos.tensor.array import BLOCK, Array

SHAPES = [
    (BLOCK - 1, 5),
    (5, BLOCK + 1),
    (3, 2 * BLOCK + 7),
    (2, 3, 1, 40),
    (1, 1),
    (7,),
    (),
    (0, 4),
]


def reversed_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return row_major(shape[::-1])[::-1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_copy_in_another_layout_has_the_same_values(shape):
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    copy = Array.from_numpy(values).laid_out(reversed_strides(shape))
    assert copy.strides == reversed_strides(shape)
    assert np.array_equal(copy.numpy(), values)


def test_zeros_keep_their_memory_in_another_layout_until_they_may_have_been_written():
    zeros = Array.zeros((4, 6), float32)
    moved = zeros.laid_out((1, 4))
    assert moved.storage is zeros.storage
    assert moved.strides == (1, 4)
    assert not moved.numpy().any()
    assert moved.address  # from now on it may be written in place
    moved.raw(readonly=False)[1, 2] = 3
    back = moved.laid_out((6, 1))
    assert back.storage is not moved.storage
    assert back.numpy()[1, 2] == 3


@pytest.mark.parametrize("rule", [optim.Adam, optim.AdamW])
def test_moments_that_begin_as_zeros_step_alike_in_every_layout(rule):
    def train(turned: bool) -> list[bytes]:
        weight = am.tensor(np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 8))
        weight = weight.requires_grad_()
        optimizer = rule([weight], lr=0.1)
        x = am.tensor(np.linspace(0, 1, 32, dtype=np.float32).reshape(4, 8))

        def step(x):
            product = x @ weight.T if turned else (weight @ x.T).T
            loss = (product**2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = am.jit(step)
        losses = [run(x).numpy().tobytes() for _ in range(3)]
        state = optimizer.state_dict()["state"][0]
        return [*losses, *(np.asarray(state[k]).tobytes() for k in ("exp_avg", "exp_avg_sq"))]

    assert train(True) == train(False)


@pytest.mark.parametrize("dtype", [d for d in ALL if d is not bfloat16], ids=str)
def test_a_single_number_is_read_as_numpy_reads_it(dtype):
    values = [0, 1, 100, -7.5 if dtype.is_inexact else 3]
    numbers = np.array([*values, *([np.inf, np.nan, -0.0] if dtype.is_inexact else [])], dtype.name)
    whole = am.tensor(numbers)
    for place, expected in enumerate(numbers):
        found = whole[place].item()
        assert type(found) is type(expected.item())
        assert np.array(found, dtype.name).tobytes() == expected.tobytes()
