"""einops on tensors. Its own suite runs by `make einops`; here is what that does not ask."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import einops
import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.nn.einops import EinMix, Rearrange, Reduce

CASES = [
    ("rearrange", "a b (c d) -> d (b a) c", {"c": 2}),
    ("reduce", "a b (c 2) -> c a", {"reduction": "sum"}),
    ("reduce", "a b c -> a 1 c", {"reduction": "max"}),
    ("repeat", "a b c -> a (b n) c m", {"n": 3, "m": 2}),
]


@pytest.mark.parametrize(("name", "pattern", "more"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "int32", "complex64", "bfloat16"])
def test_numpy_s_numbers_lazily_and_under_jit(
    name: str, pattern: str, more: dict[str, object], dtype: str
) -> None:
    if name == "reduce" and dtype == "complex64":
        dtype = "float64"  # no complex number is the largest
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    x = am.tensor(values).to(getattr(am, dtype))
    plain = values.astype("float32" if dtype == "bfloat16" else dtype)
    expected = getattr(einops, name)(plain, pattern, **more)

    def call(a: am.Tensor) -> am.Tensor:
        return getattr(einops, name)(a, pattern, **more)

    for found in (call(x), am.jit(call)(x)):
        assert isinstance(found, am.Tensor)
        assert found.tolist() == expected.tolist()


def test_gradients_and_empty_axes() -> None:
    x = am.ones((2, 0, 3), requires_grad=True)
    assert einops.rearrange(x, "a b c -> (a b) c").shape == (0, 3)
    y = am.ones(4, 6, requires_grad=True)
    einops.reduce(y, "(a 2) b -> a b", "mean").sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [[0.5] * 6] * 4


def test_pack_and_einsum() -> None:
    a, b = am.ones(2, 3), am.zeros(2, 4, 5)
    packed, shapes = einops.pack([a, b], "i *")
    assert packed.shape == (2, 23)
    back = einops.unpack(packed, shapes, "i *")
    assert [part.shape for part in back] == [(2, 3), (2, 4, 5)]
    assert einops.einsum(a, b, "i j, i k l -> j k").shape == (3, 4)


def test_layers_compose_copy_and_come_back() -> None:
    net = nn.Sequential(
        Rearrange("b (h w) -> b h w", h=2),
        EinMix("b h w -> b h v", weight_shape="w v", bias_shape="v", w=3, v=5),
        Reduce("b h v -> b v", "mean"),
    )
    x = am.arange(24.0).reshape(4, 6)
    expected = net(x).tolist()
    assert am.jit(net)(x).tolist() == expected
    assert copy.deepcopy(net)(x).tolist() == expected
    assert len(list(net.parameters())) == 2
    other = pickle.loads(pickle.dumps(net))
    assert other(x).tolist() == expected
    fresh = nn.Sequential(*[copy.deepcopy(layer) for layer in net])
    fresh.load_state_dict(net.state_dict())
    assert fresh(x).tolist() == expected


def test_einops_is_not_imported_for_it_and_either_may_come_first() -> None:
    script = (
        "import sys; {}; assert {}; import einops; import ambos as am; "
        "print(einops.rearrange(am.ones(2, 3), 'a b -> b a').shape)"
    )
    starts = ("import ambos", "'einops' not in sys.modules"), ("import einops", "True")
    for start in starts:
        run = [sys.executable, "-c", script.format(*start)]
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "(3, 2)\n"
