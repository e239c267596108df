"""Losses against PyTorch, and what they refuse."""

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import nn

TF = torch.nn.functional
N, C = 6, 5


def rng(seed=0):
    return np.random.RandomState(seed)


def agree(ours, theirs, x, *targets, **kwargs):
    """Value and gradient of a loss in both frameworks."""
    a, b = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    plain = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in kwargs.items()}
    plain = {k: am.tensor(v) if isinstance(v, np.ndarray) else v for k, v in plain.items()}
    y = ours(a, *map(am.tensor, targets), **plain)
    ty = theirs(b, *map(torch.tensor, targets), **kwargs)
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=2e-5, atol=1e-6)
    y.sum().backward()
    ty.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=2e-5, atol=1e-6)


WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.1, 0.7])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "options",
    [{}, {"weight": WEIGHT}, {"label_smoothing": 0.1}, {"weight": WEIGHT, "label_smoothing": 0.2},
     {"ignore_index": 2}, {"ignore_index": 2, "label_smoothing": 0.1, "weight": WEIGHT}],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(N, C), (N, C, 3), (N, C, 2, 3)])
def test_cross_entropy_with_indices(shape, options, reduction):
    x = 3 * rng().randn(*shape).astype(np.float32)
    target = rng(1).randint(0, C, (shape[0], *shape[2:]))
    agree(F.cross_entropy, TF.cross_entropy, x, target, reduction=reduction, **options)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"weight": WEIGHT}, {"label_smoothing": 0.1}])
def test_cross_entropy_with_probabilities(options, reduction):
    x = rng().randn(N, C).astype(np.float32)
    target = rng(1).dirichlet(np.ones(C), N).astype(np.float32)
    agree(F.cross_entropy, TF.cross_entropy, x, target, reduction=reduction, **options)


def test_cross_entropy_of_one_example_and_of_ignored_ones():
    agree(F.cross_entropy, TF.cross_entropy, rng().randn(C).astype(np.float32), np.array(2))
    x, target = rng().randn(N, C).astype(np.float32), np.array([0, -100, 2, -100, 4, 1])
    agree(F.cross_entropy, TF.cross_entropy, x, target)
    assert np.isnan(F.cross_entropy(am.tensor(x), am.tensor([-100] * N)).item())  # as PyTorch


def test_cross_entropy_is_stable():
    x = np.array([[1000.0, 0.0, -1000.0], [-1e4, 0.0, 1e4]], np.float32)
    agree(F.cross_entropy, TF.cross_entropy, x, np.array([0, 0]))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll(reduction):
    x, target = rng().randn(N, C).astype(np.float32), rng(1).randint(0, C, N)
    agree(F.nll_loss, TF.nll_loss, x, target, weight=WEIGHT, reduction=reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"])
def test_elementwise_losses(name, reduction):
    x = (5 * rng().randn(N, C)).astype(np.float32)
    x[0, 0] = 0.0
    target = rng(1).uniform(0, 1, (N, C)).astype(np.float32)
    agree(getattr(F, name), getattr(TF, name), x, target, reduction=reduction)


def test_weighted_bce():
    x, target = rng().randn(N, C).astype(np.float32), rng(1).randint(0, 2, (N, C)) * 1.0
    agree(
        F.binary_cross_entropy_with_logits, TF.binary_cross_entropy_with_logits, x,
        target.astype(np.float32), weight=WEIGHT, pos_weight=2 * WEIGHT,
    )  # fmt: skip


def test_losses_as_modules():
    x, target = rng().randn(N, C).astype(np.float32), rng(1).randint(0, C, N)
    real = rng(2).rand(N, C).astype(np.float32)
    cases = [
        (nn.CrossEntropyLoss(label_smoothing=0.1), torch.nn.CrossEntropyLoss(label_smoothing=0.1),
         target),
        (nn.CrossEntropyLoss(WEIGHT.numpy()), torch.nn.CrossEntropyLoss(WEIGHT), target),
        (nn.NLLLoss(), torch.nn.NLLLoss(), target),
        (nn.MSELoss("sum"), torch.nn.MSELoss(reduction="sum"), real),
        (nn.L1Loss(), torch.nn.L1Loss(), real),
        (nn.BCEWithLogitsLoss(), torch.nn.BCEWithLogitsLoss(), real),
    ]  # fmt: skip
    for ours, theirs, wanted in cases:
        agree(ours, theirs, x, wanted)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize(("a", "b"), [((4, 1), (4,)), ((4,), (4, 1)), ((4,), ()), ((2, 3), (3,))])
def test_losses_never_broadcast(name, a, b):
    with pytest.raises(ValueError, match="never broadcast") as found:
        getattr(F, name)(am.ones(*a), am.ones(b))
    assert f"prediction is {a}" in str(found.value)
    if (a, b) == ((4, 1), (4,)):
        assert "squeeze(1)" in str(found.value)


MOVED = {
    "a column": lambda y: y[:, 0],
    "both ways": lambda y: y.T.flip(1)[0],
    "int32": lambda y: y[:, 1].int(),
    "through floats": lambda y: y[:, 0].float().long(),
    "part": lambda y: y[2:4].flatten(),
}


@pytest.mark.parametrize("how", MOVED)
def test_labels_that_are_moved_are_looked_at(how):
    """A number that NumPy's own way of moving brings out of range is refused, in recorded steps
    too; the others are not looked at."""
    labels = np.arange(12).reshape(6, 2) % 3
    step = am.jit(lambda y: F.cross_entropy(am.zeros(len(MOVED[how](y)), 3), MOVED[how](y)))
    wanted = {"a column": labels[:, 0], "both ways": labels[:, 0], "int32": labels[:, 1],
              "through floats": labels[:, 0], "part": labels[2:4]}[how]  # fmt: skip
    step(am.tensor(labels))
    for place in range(12):
        spoiled = labels.copy()
        spoiled.flat[place] = 9
        is_seen = np.shares_memory(labels.ravel()[place : place + 1], wanted)
        for call in (step, step.__wrapped__):
            if is_seen:
                with pytest.raises(IndexError, match=r"a target is .*; need 0 <= index < 3"):
                    call(am.tensor(spoiled))
            else:
                assert np.isfinite(call(am.tensor(spoiled)).item())


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (np.zeros((N, 1), np.int64), ValueError, r"use target.reshape\(\(6,\)\)"),
        (np.zeros(N, np.float32), TypeError, "target.long"),
        (np.zeros((N, C), np.int64), ValueError, "one-hot codes must be floating"),
        (np.zeros(N - 1, np.int64), ValueError, r"need \(6,\)"),
        (np.full(N, C), IndexError, "a target is 5; need 0 <= index < 5"),
        (np.full(N, -1), IndexError, "a target is -1"),
    ],
)
def test_cross_entropy_refuses(target, error, message):
    with pytest.raises(error, match=message):
        F.cross_entropy(am.ones(N, C), am.tensor(target))


def test_a_computed_index_out_of_range_is_seen_as_nan():
    target = am.tensor([1, 2]) + 3
    assert np.isnan(F.cross_entropy(am.ones(2, C), target).item())


def test_unknown_reduction():
    with pytest.raises(ValueError, match="reduction is 'avg'"):
        F.mse_loss(am.ones(2), am.ones(2), reduction="avg")


def test_pad_one_hot_and_sigmoid_match():
    x = rng().randn(2, 3, 4).astype(np.float32)
    for amounts in [(1, 2), (0, 1, 2, 0), (-1, 2, 1, -1)]:
        np.testing.assert_array_equal(
            F.pad(am.tensor(x), amounts, value=0.5).numpy(),
            TF.pad(torch.tensor(x), amounts, value=0.5).numpy(),
        )
    turned = x * 1j
    np.testing.assert_array_equal(
        F.pad(am.tensor(turned), (1, 0), value=0.5).numpy(),
        TF.pad(torch.tensor(turned), (1, 0), value=0.5).numpy(),
    )
    index = np.array([[0, 3], [2, 1]])
    np.testing.assert_array_equal(
        F.one_hot(am.tensor(index)).numpy(), TF.one_hot(torch.tensor(index)).numpy()
    )
    wide = np.array([-200, -90, -20, 0, 20, 90, 200], np.float32)
    for name in ("sigmoid", "silu"):
        agree(getattr(F, name), getattr(TF, name), wide)
