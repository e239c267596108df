"""Update rules on half precisions go where PyTorch's go."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos import optim


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RMSprop", "SGD"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_gradients_are_not_lost(name: str, dtype: str) -> None:
    start, gradients = np.array([0.5, -1.0, 2.0]), np.array([0.2, -0.01, 0.003])
    ours = am.tensor(start, dtype=dtype).requires_grad_(True)
    theirs = torch.tensor(start, dtype=getattr(torch, dtype), requires_grad=True)
    settings = {"momentum": 0.9} if name == "SGD" else {}
    rules = [getattr(optim, name)([ours], lr=0.01, **settings),
             getattr(torch.optim, name)([theirs], lr=0.01, **settings)]  # fmt: skip
    for _ in range(5):
        ours.grad = am.tensor(gradients, dtype=dtype)
        theirs.grad = torch.tensor(gradients, dtype=theirs.dtype)
        for rule in rules:
            rule.step()
    found, expected = ours.float().detach().numpy(), theirs.detach().float().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-2 if dtype == "bfloat16" else 5e-3)
