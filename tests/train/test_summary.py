"""The table of layers: its numbers against PyTorch's counter of operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.train.summary import known_inputs, nbytes, recorded, short, summarize


def torch_flops(model: Any, *inputs: Any) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(*inputs)
    return counter.get_total_flops()


LAYERS = [
    ("Linear", (6, 5), (6,)),
    ("Conv2d", (4, 6, 3, 2, 1), (4, 9, 8)),
    ("Conv2d", (4, 8, (3, 1), 1, 0, 2, 2), (4, 9, 8)),
    ("Conv1d", (4, 6, 3), (4, 10)),
    ("ConvTranspose2d", (4, 6, 4, 2), (4, 5, 5)),
    ("Bilinear", (3, 4, 5), [(3,), (4,)]),
]


@pytest.mark.parametrize(("name", "arguments", "shape"), LAYERS)
def test_flops_of_layers_are_pytorchs(name: str, arguments: Any, shape: Any) -> None:
    found = summarize(getattr(nn, name)(*arguments), shape)
    shapes = shape if isinstance(shape, list) else [shape]
    inputs = [torch.zeros(1, *one) for one in shapes]
    expected = torch_flops(getattr(torch.nn, name)(*arguments), *inputs)
    if name == "Bilinear":  # which PyTorch's counter knows nothing of
        expected = 2 * 5 * 3 * 4 + 2 * 5 * 4
    if name.startswith("ConvTranspose"):  # windows count whole, here those over the border too
        expected = expected * 6**2 // 5**2
    assert found.flops == expected > 0


def test_flops_of_resnet18_are_pytorchs() -> None:
    from tests.models.twins import torchvision

    found = summarize(am.models.resnet18(), (3, 64, 64))
    assert found.flops == torch_flops(torchvision.models.resnet18(), torch.zeros(1, 3, 64, 64))
    assert sum(layer.flops for layer in found.layers) == found.flops
    assert found.parameters == sum(layer.parameters or 0 for layer in found.layers) == 11_689_512


def test_resnet50_is_what_everybody_says() -> None:
    found = summarize(am.models.resnet50(), (3, 224, 224), depth=1)
    assert found.flops == 2 * 4_089_184_256  # "4.09 GMACs", and 25.6 M parameters
    assert found.parameters == 25_557_032
    assert sum(layer.flops for layer in found.layers) == found.flops


def test_flops_of_attention() -> None:
    config = am.models.GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4)
    found = summarize(am.models.GPT2LMHeadModel(config), (16,))  # numbers of tokens: int64
    width, length, depth, words = 32, 16, 2, 50
    per_token = depth * (24 * width**2 + 4 * length * width) + 2 * width * words
    assert found.flops == length * per_token


def test_loops_count_as_often_as_they_run() -> None:
    found = summarize(nn.LSTM(5, 7), (3, 5))  # a batch of 2, 3 steps... (length, batch) by default
    assert found.flops == 2 * 3 * 4 * 7 * (5 + 7)


class Two(am.Model):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(3, 4), nn.Linear(5, 4), nn.Linear(4, 1)
        self.last.weight.requires_grad = False

    def forward(self, x: Any, y: Any) -> Any:
        return self.last(self.left(x)) + self.last(self.right(y)), x


def test_several_inputs_shared_and_frozen_layers() -> None:
    model = Two()
    for example in ([(3,), (5,)], (am.ones(7, 3), am.ones(7, 5))):
        found = summarize(model, example)
        rows = {layer.name: layer for layer in found.layers}
        assert (rows["last"].calls, rows["last"].frozen, rows["last"].parameters) == (2, 4, 5)
        assert rows["last"].flops == 2 * 2 * 4
        assert (found.parameters, found.frozen, found.parameter_bytes) == (45, 4, 180)
        assert found.activation_bytes == 4 * (4 + 4 + 1 + 1)
    assert "last (Linear) x2  (N, 1)             5 (*)     16" in str(found)
    assert "parameters 45 (41 trained, 4 frozen *), 180 B" in str(found)


def test_inputs_by_name() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(3, 4), nn.Linear(5, 4)

        def forward(self, left: Any, right: Any) -> Any:
            return self.left(left) + self.right(right)

    for example in ({"right": (5,), "left": (3,)}, {"right": am.ones(2, 5), "left": am.ones(2, 3)}):
        assert summarize(Named(), example).flops == 2 * 4 * (3 + 5)


def test_a_functional_model_knows_its_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    left, right = am.Input((3,), name="left"), am.Input((5,), name="right")
    model = am.Model(inputs=[left, right], outputs=nn.Linear(3, 4)(left) + nn.Linear(5, 4)(right))
    model.summary()
    assert f"an example {2 * 4 * (3 + 5)} FLOPs" in capsys.readouterr().out
    named = am.Model(left, nn.Linear(3, 4)(left), name="prices")
    named.summary()
    assert capsys.readouterr().out.startswith("prices (Model)\n")
    assert [*recorded("x", model, known_inputs(model))[0].arguments.values()] == ["left", "right"]


def test_it_fits_the_terminal() -> None:
    model = nn.Sequential()
    model.add_module("a_layer_with_a_name_as_long_as_a_sentence", nn.Linear(3, 4))
    for width in (120, 60, 50):
        lines = summarize(model, (3,)).table(width).splitlines()
        assert max(map(len, lines)) <= width
    assert lines[4].split()[0] == "a_layer_with_a_n…"


def test_summary_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout())
    model[1].eval()
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    compiled = am.jit(model)
    x = am.ones(2, 3)
    compiled(x)
    with am.profile() as profile:
        summarize(model, (3,))
    assert not profile.runs
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert not any(module._hooks for module in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_depth_and_looking_models() -> None:
    block = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Linear(3, 2))
    assert [layer.path for layer in summarize(block, (3,), depth=1).layers] == ["0", "1"]
    assert [layer.flops for layer in summarize(block, (3,), depth=1).layers] == [18, 12]
    assert len(summarize(block, (3,)).layers) == 4

    class Looks(nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    assert "looks at values" in str(summarize(Looks(), (3,)))


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match=r"nn\.Module"):
        summarize(3)
    with pytest.raises(ArgumentError, match="depth"):
        summarize(nn.Linear(2, 2), depth=0)
    with pytest.raises(ShapeError, match="got 3 features"):
        summarize(nn.Linear(2, 2), (3,))
    with pytest.raises(DTypeError):
        summarize(nn.Linear(2, 2), am.ones(3, 2).to("int64"))


def test_units() -> None:
    assert [short(n) for n in (0, 12, 999, 1234, 12_345, 999_499, 999_500, 4.09e9)] == [
        "0", "12", "999", "1.23 k", "12.3 k", "999 k", "1.00 M", "4.09 G",
    ]  # fmt: skip
    assert [nbytes(n) for n in (0, 1023, 1024, 44.6 * 2**20)] == [
        "0 B", "1023 B", "1.0 KiB", "44.6 MiB",
    ]  # fmt: skip
