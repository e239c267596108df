"""What is made of the number of examples of an am.Input: for every batch the same as on the data
itself, or refused; never a third thing."""

import decimal
import fractions
import json
import math
import statistics

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core import tree
from ambos.core.unknown import BATCH

STREAM = np.random.RandomState(0)
DATA = (STREAM.rand(7, 3) + 0.1).astype(np.float32)
TABLE = am.tensor(STREAM.rand(10, 3).astype(np.float32))
COUNTS = (7, 3, 1)

EXACT = {
    "times": lambda x, n: x * n + x * (2 * n) - x * (n * 2),
    "before": lambda x, n: 0.5 * n * x + (1 - n) * x + 1 / n,
    "whole": lambda x, n: x * (n // 2) + x * (1000 // n) + x * (n % 2) + x * (7 % n),
    "powers": lambda x, n: x * n**2 + x * n**0.5 + x * 0.5**n + x * n**-1,
    "products": lambda x, n: x * (n * n) + x * (n * 2.0) * 3 + x / (n / 2) + (1 / n) ** 2,
    "rounded": lambda x, n: x * round(n / 3, 1) + math.ceil(n / 3) + math.floor(n / 3) - round(n),
    "signs": lambda x, n: x * abs(-n) + x * +n - math.trunc(n / 3),
    "divmod": lambda x, n: x * divmod(n, 2)[0] + divmod(n, 3)[1] + divmod(20, n)[1],
    "bits": lambda x, n: x * (n & 3) + (n | 8) + (n ^ 1) + (n >> 1) + ~n,
    "sums": lambda x, n: x * sum([n, n, 1]) * math.prod([n, 2]),
    "NumPy's": lambda x, n: x * (np.float64(0.5) * n) + np.float32(0.5) * n + np.int64(2) * n,
    "size": lambda x, n: x / x.size + x.size()[0] + x.size(0) + x.numel() + am.numel(x) * 0.5,
    "bytes": lambda x, n: x / x.nbytes,
    "itself": lambda x, n: x * (n - n) + (n == x.shape[0]) + (x.shape == (x * 2).shape),
    "reshape": lambda x, n: x.reshape(n, -1) + x.view(n, 3) + x.reshape((n * 3, 1)).reshape(n, 3),
    "flat": lambda x, n: x.reshape(-1)[: 3 * n].reshape(n, 3) + x.reshape(n * 3)[n:].sum(),
    "expand": lambda x, n: x.sum(0, keepdim=True).expand(n, 3) + TABLE[:1].broadcast_to((n, 3)),
    "made": lambda x, n: am.zeros(n, 3) + am.ones((n, 3)) + am.full((n, 1), 2.5) * x,
    "filled": lambda x, n: am.full((2, 3), n) + am.full((3,), 1 / n) + x.sum(),
    "arange": lambda x, n: x + am.arange(n)[:, None] + am.arange(0, 2 * n, 2)[:, None],
    "real arange": lambda x, n: x + am.arange(0.0, n)[:, None] * am.arange(n - 1, -1, -1)[:, None],
    "linspace": lambda x, n: x + am.linspace(0, 1, n)[:, None] + am.linspace(n, 0, 3),
    "eye": lambda x, n: am.eye(n) @ x + am.eye(n, 3),
    "rows": lambda x, n: x[:n] + x[0:n] + x[n - 1] + x[-n] + x[-1] + x[n // 2],
    "parts": lambda x, n: x[: n // 2].sum() + x[n // 2 :].mean() + x[n - 1 :] + x[::-1],
    "steps": lambda x, n: x[::2].sum(0) + x,
    "cut": lambda x, n: x + TABLE[:n].sum() + TABLE[: n - 1].sum() + TABLE[-n:].mean(),
    "no cut": lambda x, n: x[:100_000_000] + x[-100_000_000:],
    "what is not there": lambda x, n: x + x[100_000_000:].sum() + TABLE[n + 100 :].sum(),
    "moved": lambda x, n: x * (n << 1) + (x * 1)[:, : n << 3],
    "its size": lambda x, n: x[::2] * x[::2].shape[0] + x[::2].reshape(-1).shape[0],
    "split": lambda x, n: am.concatenate(x.split([n // 2, n - n // 2])),
    "triangle": lambda x, n: x.tril(n - 2) + am.triu(x, n // 2),
    "scores": lambda x, n: x.mean(0) + x.std(0, correction=0) + x.mean() + (x @ x.T / n).sum(),
    "norms": lambda x, n: (x - x.mean(0)) / (x.var(0, correction=0) + 1) + F.softmax(x, 0) / n,
    "joined": lambda x, n: am.concatenate([x, am.zeros(n, 1)], 1) + am.stack([x, x]).shape[1],
    "clamped": lambda x, n: (x * 10).clamp(max=n) + am.where(x > 1 / n, x, n),
    "one hot": lambda x, n: F.one_hot(x.long(), n) + am.maximum(x, 1 / n).sum(),
    "losses": lambda x, n: F.mse_loss(x, x * 2) + F.mse_loss(x, x * 2, reduction="sum") / n,
    "repeat": lambda x, n: x.repeat(1, 2) + x.flip(0).repeat(1, 2) + am.tile(x, (1, 2)),
    "ordered": lambda x, n: x.T.topk(n).values.T + x.sort(0).values + x.median(0).values,
    "none": lambda x, n: x / (n - 1) + am.arange(n - 2).sum() + am.arange(n - 2, n).sum(),
    "large ones": lambda x, n: x / 2**31 + x * 1e10 - x * (1.0 * BATCH) + BATCH,
    "shape": lambda x, n: x.reshape(x.shape) * len(x.shape) + np.size(x.shape[1:]),
    "isinstance": lambda x, n: x if isinstance(n, int) and isinstance(n / 2, float) else None,
}  # fmt: skip

NEEDS_A_NUMBER = {
    "log": lambda x, n: x * math.log(n), "sqrt": lambda x, n: x * math.sqrt(n),
    "isqrt": lambda x, n: x * math.isqrt(n), "gcd": lambda x, n: x * math.gcd(n, 6),
    "isclose": lambda x, n: x * math.isclose(n, 3), "hypot": lambda x, n: x * math.hypot(n, 1.0),
    "range": lambda x, n: x * len(range(n)), "in range": lambda x, n: x * (n in range(5)),
    "list": lambda x, n: x * len([0] * n), "text": lambda x, n: x * len("a" * n),
    "bytes": lambda x, n: x * len(bytes(n)), "place": lambda x, n: x * [1, 2, 3, 4, 5, 6, 7, 8][n],
    "slice": lambda x, n: x * len([1, 2, 3][:n]), "row": lambda x, n: x + TABLE[n],
    "best": lambda x, n: x + TABLE.topk(n).values.sum(),
    "values": lambda x, n: x + (TABLE[:n] * 2).numpy().sum(),
    "int": lambda x, n: x * int(n), "float": lambda x, n: x * float(n),
    "bool": lambda x, n: x * bool(n), "not": lambda x, n: x * (not n),
    "if": lambda x, n: x if n else x * 2, "complex": lambda x, n: (x * complex(n)).real,
    "read": lambda x, n: x * float(f"{n}"), "d": lambda x, n: x * float(f"{n:d}"),
    "percent": lambda x, n: x * float("%d" % n),  # noqa: UP031
    "real": lambda x, n: x * float("%g" % n),  # noqa: UP031
    "min": lambda x, n: x * min(n, 5), "max": lambda x, n: x * max(2, n - 1),
    "sorted": lambda x, n: x * sorted([n, 4])[0], "<": lambda x, n: x * (n < 5),
    "==": lambda x, n: x * (n == 3), "!=": lambda x, n: x * (n != 3),
    "in": lambda x, n: x * (n in [1, 2]), "shapes": lambda x, n: x * (x.shape == (3, 3)),
    "len": lambda x, n: x * len(x), "rows": lambda x, n: sum(row for row in x) + x,
    "zeros": lambda x, n: x + np.zeros(n)[:, None], "full": lambda x, n: x + np.full(3, n),
    "of shape": lambda x, n: x + np.zeros((n, 3), np.float32),
    "np.sqrt": lambda x, n: x * np.sqrt(n), "np.log": lambda x, n: x * np.log(n),
    "array": lambda x, n: x * np.array([n, 1, 1]), "int64": lambda x, n: x * np.int64(n),
    "float32": lambda x, n: x * np.float32(n), "np.arange": lambda x, n: x + np.arange(n)[:, None],
    "array times": lambda x, n: x * (np.ones(3) * n),
    "times array": lambda x, n: x * (n * np.ones(3)),
    "np.maximum": lambda x, n: x * np.maximum(n, 2), "np.prod": lambda x, n: x * np.prod(x.shape),
    "tensor": lambda x, n: x * am.tensor(n), "tensors": lambda x, n: x * am.tensor([n, 1, 1]),
    "looked at": lambda x, n: x * (am.ones(3) * n).numpy(),
    "ones": lambda x, n: x * am.ones(n).sum().item(),
    "power": lambda x, n: x * 2**n, "shift": lambda x, n: x * (1 << n),
    "decimal": lambda x, n: x * float(decimal.Decimal(n)),
    "fraction": lambda x, n: x * float(fractions.Fraction(n, 2)),
    "mean": lambda x, n: x * statistics.mean([n, 1]), "hex": lambda x, n: x * int(hex(n), 16),
    "json": lambda x, n: x * json.loads(json.dumps(n)), "bits": lambda x, n: x * n.bit_length(),
    "roll": lambda x, n: x.roll(n, 1),
    "window": lambda x, n: x * am.signal.windows.hann(n)[:, None],
    "chunks": lambda x, n: x.chunk(n, 1)[0], "squeeze": lambda x, n: x[:, :1].squeeze(),
    "cross": lambda x, n: x.cross(x),
    "linear": lambda x, n: nn.Linear(n, 3)(x), "dropout": lambda x, n: nn.Dropout(1 / n)(x),
    "slope": lambda x, n: nn.LeakyReLU(1 / n)(x), "kept": lambda x, n: Kept(n - 1)(x),
    "kept by it": lambda x, n: Scaled(n)(x), "beta": lambda x, n: F.softplus(x, n - 1),
    "flat row": lambda x, n: x + x.flatten()[5], "first five": lambda x, n: x + x[:5].sum(),
    "left": lambda x, n: x + x[5:].sum(),
    "share": lambda x, n: x * (1 / (n - 1)),
}  # fmt: skip


class Kept(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def forward(self, x):
        return x + x[: self.rows].sum()


class Scaled(Kept):
    def forward(self, x):
        return x * self.rows


AXES = {  # where the size is: what the Input is of, its batch of so many rows, and the rows
    "examples": ((3,), lambda rows: rows, lambda x: x),
    "others": ((None, 3), lambda rows: rows[None], lambda x: x[0]),
}


def third_things(made, axis, refused):
    """Sizes for which a model computes neither what `made` does of the data nor nothing at all;
    those that it refuses are noted in `refused`."""
    shape, batch, rows = AXES[axis]

    def of(x):
        x = rows(x)
        return am.concatenate([leaf.reshape(-1).float() for leaf in tree.leaves(made(x))])

    try:
        x = am.Input(shape)
        model = am.Model(x, of(x))
    except Exception:
        refused += COUNTS
        return []
    found = []
    for count in COUNTS:
        given = am.tensor(batch(DATA[:count]))
        try:
            result = model(given)
            is_same = result._node is of(given)._node or _alike(result.numpy(), of(given).numpy())
        except Exception:
            refused.append(count)
            continue
        if not is_same:
            found.append((count, result, of(given)))
    return found


def _alike(result, wanted):
    same = result.shape == wanted.shape
    return same and np.allclose(result, wanted, 1e-5, 1e-6, equal_nan=True)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("case", EXACT)
def test_what_can_be_made_anew_is_exact(case, axis):
    refused = []
    assert third_things(lambda x: EXACT[case](x, x.shape[0]), axis, refused) == []
    assert refused == []


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("case", NEEDS_A_NUMBER)
def test_what_needs_the_number_is_refused_or_right(case, axis):
    refused = []
    assert third_things(lambda x: NEEDS_A_NUMBER[case](x, x.shape[0]), axis, refused) == []
    assert refused
