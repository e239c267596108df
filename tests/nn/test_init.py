"""Initial values against the distributions that they state."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

import ambos as am
from ambos import models, nn


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"), [(0.0, 1.0, -2.0, 2.0), (0.5, 2.0, -2, 1), (0, 0.02, -2, 2)]
)
def test_truncated_normal(mean: float, std: float, low: float, high: float) -> None:
    am.manual_seed(0)
    drawn = nn.init.trunc_normal_(am.zeros(20000), mean, std, low, high).numpy()
    assert drawn.min() >= low
    assert drawn.max() <= high
    law = stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)
    assert stats.kstest(drawn, law.cdf).pvalue > 0.01


def test_models_begin_as_wide_as_torchvisions() -> None:
    from tests.models.twins import torchvision

    am.manual_seed(0)
    torch.manual_seed(0)
    for name in ("mobilenet_v3_small", "efficientnet_b0"):
        ours, theirs = models.get_model(name), torchvision.models.get_model(name)
        for key, value in theirs.named_parameters():
            found, expected = ours.get_parameter(key).numpy(), value.detach()
            if value.numel() > 2000:
                assert found.std() == pytest.approx(expected.std().item(), rel=0.15), key
            elif not expected.std() > 0:
                assert (found == expected.numpy()).all(), key
