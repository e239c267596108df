"""Twins of the networks agree: losses of three steps, logits, with PyTorch as the oracle."""

import numpy as np
import pytest

from bench.models import mlp, resnet
from bench.models.recurrent import GRU, LSTM
from bench.models.resnet import RESNET18, RESNET50
from bench.models.weights import conv_flops, num_parameters, reach
from bench.workloads import inference, start, steps

SMALL = [
    steps.mlp_step(8),
    steps.lenet_step(4),
    steps.resnet18_step(2),
    steps.gpt_step(1),
    steps.recurrent_step(LSTM, 2),
    steps.recurrent_step(GRU, 2),
    steps.bert_step(1),
    steps.vit_step(2),
    steps.unet_step(1),
    inference.CASES[2],  # MobileNetV2
    inference.Decode(),
    inference.CASES[-1],  # the perceptron
    start.NewSizes("sizes", "three sizes", [7, 9]),
]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_ours_agree_with_each_other_and_with_torch(case):
    data = case.data()
    jitted, eager, theirs = (
        [np.asarray(call()) for _ in range(3)]
        for call in (case.with_ambos(data), case.with_ambos_eager(data), case.with_torch(data))
    )
    for x, y, z in zip(jitted, eager, theirs, strict=True):
        assert x.tobytes() == y.tobytes()
        assert np.abs(x - z).max() <= case.tolerance * np.abs(z).max()


def test_flops_are_those_of_the_papers():
    assert resnet.flops(RESNET50, 1)[1] == pytest.approx(2 * 4.09e9, rel=0.04)
    assert num_parameters(resnet.weights(RESNET50)) == 25_557_032
    assert num_parameters(resnet.weights(RESNET18)) == 11_173_962
    assert num_parameters(mlp.weights()) == 101_770


def test_padding_costs_nothing():
    assert reach(4, 3, 1) == 10
    assert reach(4, 1, 2) == 2
    assert reach(224, 7, 2) == 112 * 7 - 3 - 1 - 2
    assert conv_flops(2, 4, 3, 5, 1) == 2 * 2 * 16 * 3 * 5
