"""ctc_loss against torch and against the definition: all paths, added up."""

import itertools
import math

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

STEPS, BATCH, CLASSES, LONGEST = 7, 4, 4, 3
RNG = np.random.default_rng(3)
LOGITS = RNG.standard_normal((STEPS, BATCH, CLASSES))
TARGETS = np.array([[1, 1, 2], [3, 2, 1], [2, 2, 2], [1, 3, 3]])
TIMES, SIZES = [7, 6, 5, 3], [2, 3, 1, 0]


def by_definition(log_probs, target, steps):
    """The sum over every path of classes that is the target without repetitions and blanks."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=steps):
        if [k for k, _ in itertools.groupby(path) if k != 0] == list(target):
            total += math.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
    return -math.log(total) if total else math.inf


def test_the_definition():
    log_probs = torch.tensor(LOGITS).log_softmax(2).numpy()
    found = F.ctc_loss(am.tensor(log_probs), am.tensor(TARGETS), TIMES, SIZES, reduction="none")
    wanted = [by_definition(log_probs[:, n], TARGETS[n, :size], steps)
              for n, (steps, size) in enumerate(zip(TIMES, SIZES, strict=True))]  # fmt: skip
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize(("form", "reduction"), [
    ("rows", "none"), ("rows", "mean"), ("run", "sum"), ("alone", "mean"), ("blank last", "none"),
])  # fmt: skip
def test_values_and_gradients_behind_log_softmax(form, reduction):
    logits, targets, times, sizes, blank = LOGITS, TARGETS, TIMES, SIZES, 0
    if form == "run":
        targets = np.concatenate([row[:n] for row, n in zip(targets, sizes, strict=True)])
    if form == "alone":
        logits, targets, times, sizes = logits[:, 0], targets[0, :2], times[0], sizes[0]
    if form == "blank last":
        targets, blank = targets - 1, CLASSES - 1
    ours = am.tensor(logits, requires_grad=True)
    theirs = torch.tensor(logits, requires_grad=True)
    a = F.ctc_loss(ours.log_softmax(-1), am.tensor(targets), am.tensor(times), am.tensor(sizes),
                   blank, reduction)  # fmt: skip
    b = torch.nn.functional.ctc_loss(
        theirs.log_softmax(-1), torch.tensor(targets), torch.tensor(times), torch.tensor(sizes),
        blank, reduction,
    )  # fmt: skip
    np.testing.assert_allclose(a.numpy(), b.detach(), rtol=1e-12)
    weights = RNG.standard_normal(a.shape)
    (a * weights).sum().backward()
    (b * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-9, atol=1e-12)


def test_derivatives_by_differences():
    """Without log_softmax in front, where torch's gradient is not the derivative."""
    direction = RNG.standard_normal(LOGITS.shape)

    def loss(values):
        x = am.tensor(values, requires_grad=True)
        return x, F.ctc_loss(x, am.tensor(TARGETS), TIMES, SIZES)

    def slope(values):
        x, y = loss(values)
        return am.autograd.grad(y, x)[0].numpy()

    x, y = loss(LOGITS)
    (first,) = am.autograd.grad(y, x, create_graph=True)
    (second,) = am.autograd.grad((first * direction).sum(), x)
    step = 1e-5
    above, below = LOGITS + step * direction, LOGITS - step * direction
    change = (loss(above)[1] - loss(below)[1]).item() / (2 * step)
    assert change == pytest.approx((first.numpy() * direction).sum(), rel=1e-8)
    np.testing.assert_allclose(second.numpy(), (slope(above) - slope(below)) / (2 * step),
                               atol=1e-8)  # fmt: skip


@pytest.mark.parametrize("zeroed", [False, True])
def test_a_target_that_does_not_fit(zeroed):
    x = am.tensor(LOGITS, requires_grad=True)
    # Two equal classes need a blank between them: three steps.
    loss = F.ctc_loss(x.log_softmax(2), am.tensor(TARGETS), [2, 7, 0, 0], [2, 1, 1, 0],
                      reduction="none", zero_infinity=zeroed)  # fmt: skip
    found = loss.tolist()
    impossible = 0.0 if zeroed else math.inf
    assert found[0] == found[2] == impossible
    assert 0 < found[1] < math.inf
    assert found[3] == 0
    loss.sum().backward()
    gradient = x.grad.numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[:, [0, 2, 3]].any()
    assert gradient[:, 1].any()


def test_what_lies_behind_a_target_is_not_looked_at():
    log_probs = am.tensor(LOGITS).log_softmax(2)
    other = np.where(np.arange(LONGEST) < np.array(SIZES)[:, None], TARGETS, -100)
    a, b = (F.ctc_loss(log_probs, am.tensor(t), TIMES, SIZES) for t in (TARGETS, other))
    assert a.item() == b.item()


def test_long_and_unlikely_sequences_stay_finite():
    logits = am.tensor(np.tile([300.0, -300.0, 0.0], (60, 1)).astype(np.float32))
    loss = F.ctc_loss(logits.log_softmax(1), am.tensor([1] * 20), 60, 20, reduction="sum")
    # Twenty steps of probability exp(-600), which blanks keep apart.
    assert loss.item() == pytest.approx(20 * 600 - math.log(math.comb(41, 20)), rel=1e-6)


def test_not_a_number_stays_one():
    logits = LOGITS.copy()
    logits[2, 1, 0] = np.nan
    found = F.ctc_loss(am.tensor(logits), am.tensor(TARGETS), TIMES, SIZES, reduction="none")
    assert np.isnan(found.tolist()).tolist() == [False, True, False, False]


def test_probabilities_of_zero():
    certain = np.full((3, 1, 3), -np.inf)
    certain[:, :, 1] = 0.0
    for target, wanted in ((1, 0.0), (2, math.inf)):
        x = am.tensor(certain, requires_grad=True)
        loss = F.ctc_loss(x, am.tensor([[target]]), [3], [1])
        assert loss.item() == wanted
        loss.backward()
        assert np.isfinite(x.grad.numpy()).all()


def test_an_example_alone_equals_itself_among_others():
    def found(part):
        x = am.tensor(LOGITS[:, part].astype(np.float32), requires_grad=True)
        loss = F.ctc_loss(x.log_softmax(2), am.tensor(TARGETS[part]), TIMES[part], SIZES[part],
                          reduction="none")  # fmt: skip
        loss.sum().backward()
        return loss.numpy(), x.grad.numpy()

    every, alone = found(slice(None)), found(slice(1, 2))
    np.testing.assert_array_equal(every[0][1:2], alone[0])
    np.testing.assert_array_equal(every[1][:, 1:2], alone[1])


def test_jitted():
    def loss(x, targets, times, sizes):
        return F.ctc_loss(x.log_softmax(2), targets, times, sizes)

    given = [am.tensor(v) for v in (LOGITS, TARGETS, np.array(TIMES), np.array(SIZES))]
    step = am.jit(loss)
    assert step(*given).item() == step(*given).item() == loss(*given).item()
    fewer = am.tensor(np.array([4, 5, 6, 2]))
    assert step(given[0], given[1], fewer, given[3]).item() == loss(
        given[0], given[1], fewer, given[3]
    ).item()  # fmt: skip


@pytest.mark.parametrize(("change", "error", "says"), [
    ({"input_lengths": [8, 6, 5, 3]}, ArgumentError, "need 0 to 7"),
    ({"target_lengths": [4, 3, 1, 0]}, ArgumentError, "need 0 to 3"),
    ({"input_lengths": [7, 6, 5]}, ShapeError, r"need \(4,\)"),
    ({"targets": TARGETS[:3]}, ShapeError, r"need \(4, S\)"),
    ({"targets": TARGETS[0]}, ShapeError, "target_lengths sum to 6"),
    ({"targets": TARGETS + 2}, IndexingError, "0 <= class < 4"),
    ({"targets": TARGETS + 0.5}, DTypeError, "use x.long()"),
    ({"blank": 4}, ArgumentError, "0 <= blank < 4"),
    ({"reduction": "average"}, ArgumentError, "'mean', 'sum' or 'none'"),
    ({"log_probs": LOGITS[0, 0]}, ShapeError, r"\(T, N, C\)"),
])  # fmt: skip
def test_errors_name_a_fix(change, error, says):
    given = {"log_probs": LOGITS, "targets": TARGETS} | change
    given = {k: am.tensor(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
    lengths = {"input_lengths": TIMES, "target_lengths": SIZES}
    with pytest.raises(error, match=says):
        am.evaluate(F.ctc_loss(**(lengths | given)))
