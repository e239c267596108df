"""What PyTorch's operator database has no samples of: transposes, drawn windows, affine grids,
statistics of dropout, distances between rows, and losses that refuse to broadcast."""

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ShapeError

RNG = np.random.default_rng(11)
TF = torch.nn.functional


def array(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def agree(ours, theirs, *arrays, rtol=1e-5, atol=1e-5):
    """Results and gradients of two functions of the same arrays."""
    mine = [am.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, ty = ours(*mine), theirs(*other)
    assert y.shape == tuple(ty.shape)
    np.testing.assert_allclose(y.numpy(), ty.detach(), rtol=rtol, atol=atol)
    seed = array(*y.shape)
    y.backward(am.tensor(seed))
    ty.backward(torch.tensor(seed))
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=10 * rtol, atol=10 * atol)


@pytest.mark.parametrize("options", [
    {"kernel_size": 3}, {"kernel_size": (2, 3), "stride": 2}, {"kernel_size": 2, "padding": (1, 0)},
    {"kernel_size": 3, "dilation": (1, 2), "padding": 1, "stride": (2, 1)},
])  # fmt: skip
def test_fold(options):
    columns = tuple(TF.unfold(torch.zeros(2, 3, 8, 9), **options).shape)
    agree(lambda x: F.fold(x, (8, 9), **options), lambda x: TF.fold(x, (8, 9), **options),
          array(*columns))  # fmt: skip


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 2, 4, 3), (2, 1, 2, 2)])
def test_affine_grid(size, align):
    rank = len(size) - 2
    agree(lambda t: F.affine_grid(t, size, align), lambda t: TF.affine_grid(t, size, align),
          array(size[0], rank, rank + 1))  # fmt: skip


@pytest.mark.parametrize("rank", [2, 3])
def test_fractional_pooling_of_given_windows(rank):
    name, samples = f"fractional_max_pool{rank}d", RNG.random((2, 3, rank)).astype(np.float32)
    options = {"kernel_size": 2, "output_size": (3, 4, 2)[:rank], "return_indices": True}
    x = array(2, 3, *(7, 9, 5)[:rank])
    y, index = getattr(F, name)(am.tensor(x), **options, _random_samples=am.tensor(samples))
    ty, wanted = getattr(TF, name)(
        torch.tensor(x), **options, _random_samples=torch.tensor(samples)
    )
    np.testing.assert_array_equal(index.numpy(), wanted)
    np.testing.assert_array_equal(y.numpy(), ty)


def test_pooled_and_unpooled():
    x = am.tensor(array(2, 3, 6, 8))
    y, index = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, index, 2)
    assert am.array_equal(F.max_pool2d(am.where(back != 0, back, -am.inf), 2), y)
    assert am.array_equal(am.where(back != 0, x, 0.0), back)


def test_a_window_of_minus_infinities():
    x = torch.full((1, 1, 2, 2), -torch.inf)
    found, index = F.max_pool2d(am.tensor(x.numpy()), 2, padding=1, return_indices=True)
    assert am.isinf(found).all()
    np.testing.assert_array_equal(index.numpy(), TF.max_pool2d(x, 2, padding=1,
                                                               return_indices=True)[1])  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_where_windows_of_minus_infinities_find_theirs(rank, dilation):
    """The first that is no padding; those wholly in padding are not PyTorch's to say (it counts
    beyond the image)."""
    x = RNG.standard_normal((2, 3, *(7, 6, 5)[:rank])).astype(np.float32)
    x[RNG.random(x.shape) < 0.6] = x[0, 0] = -np.inf
    settings = {"stride": 2, "padding": 1, "dilation": dilation, "ceil_mode": True}
    found = getattr(F, f"max_pool{rank}d")(am.tensor(x), 3, return_indices=True, **settings)
    wanted = getattr(TF, f"max_pool{rank}d")(torch.tensor(x), 3, return_indices=True, **settings)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("name", ["max_pool", "avg_pool", "lp_pool"])
@pytest.mark.parametrize("rank", [1, 2])
def test_windows_longer_than_the_input_where_sizes_round_up(name, rank):
    x = RNG.standard_normal((2, 3, *(1, 2)[:rank])).astype(np.float32)
    ours, theirs = getattr(F, f"{name}{rank}d"), getattr(TF, f"{name}{rank}d")
    power = (2,) if name == "lp_pool" else ()
    for kernel, stride in ((2, 2), (3, 3), (2, 1), (4, 2)):
        given = *power, kernel, stride
        try:
            wanted = theirs(torch.tensor(x), *given, ceil_mode=True).numpy()
        except RuntimeError:
            with pytest.raises(ShapeError, match="shorter than the window"):
                ours(am.tensor(x), *given, ceil_mode=True)
            continue
        found = ours(am.tensor(x), *given, ceil_mode=True)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize("values", ["few", "many", "minus infinities"])
@pytest.mark.parametrize(("rank", "size"), [(1, 3), (2, (3, 4)), (3, (2, 3, 2)), (2, (1, 3))])
def test_largest_of_uneven_cells(rank, size, values):
    """The first of equals, row by row: its place, and its gradient."""
    x = RNG.standard_normal((2, 3, *(7, 6, 5)[:rank])).astype(np.float32)
    if values == "few":
        x = np.round(x)
    elif values == "minus infinities":
        x[RNG.random(x.shape) < 0.7] = x[0, 0] = -np.inf
    mine, other = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found = getattr(F, f"adaptive_max_pool{rank}d")(mine, size, return_indices=True)
    wanted = getattr(TF, f"adaptive_max_pool{rank}d")(other, size, return_indices=True)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
    weight = RNG.standard_normal(wanted[0].shape).astype(np.float32)
    found[0].backward(am.tensor(weight))
    wanted[0].backward(torch.tensor(weight))
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-5)
    zeros = am.tensor(np.where(x > 0, np.float32(-0.0), 0.0).astype(np.float32))
    plain = getattr(F, f"adaptive_max_pool{rank}d")(zeros, size)
    tracked = getattr(F, f"adaptive_max_pool{rank}d")(zeros.requires_grad_(), size)
    assert plain.numpy().tobytes() == tracked.detach().numpy().tobytes()


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.0, np.inf])
def test_distances(p):
    agree(lambda x, y: am.cdist(x, y, p), lambda x, y: torch.cdist(x, y, p), array(2, 5, 4),
          array(2, 3, 4)) if p else None  # fmt: skip
    x, y = array(5, 4), array(3, 4)
    np.testing.assert_allclose(am.cdist(x, y, p).numpy(), torch.cdist(
        torch.tensor(x), torch.tensor(y), p), rtol=1e-5)  # fmt: skip


def test_near_rows_keep_their_digits_and_equal_rows_have_gradient_zero():
    x = am.tensor(np.float32([[1000.0, 1.0], [1000.0, 1.0], [1000.0, 1.001]]), requires_grad=True)
    found = am.cdist(x, x)
    np.testing.assert_allclose(found.numpy()[0], [0, 0, 0.001], rtol=1e-3)
    (found[0, 1] * 1.0).backward()
    assert (x.grad.numpy() == 0).all()


def test_dropout_of_channels():
    am.manual_seed(0)
    y = F.dropout2d(am.ones(200, 50, 2, 2), 0.25).numpy()
    assert (y == y[:, :, :1, :1]).all()
    assert abs((y[:, :, 0, 0] == 0).mean() - 0.25) < 0.02
    np.testing.assert_allclose(y.max(), 1 / 0.75, rtol=1e-6)
    z = F.alpha_dropout(am.randn(400, 400), 0.3, training=True).numpy()
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02


def test_gumbel_softmax_draws_by_the_logits():
    am.manual_seed(1)
    p = np.float32([0.1, 0.2, 0.7])
    drawn = F.gumbel_softmax(am.tensor(np.log(p)).expand(20000, 3), hard=True).numpy()
    np.testing.assert_allclose(drawn.mean(0), p, atol=0.015)
    assert set(np.unique(drawn.sum(1))) == {1.0}


@pytest.mark.parametrize("name", [
    "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss", "soft_margin_loss",
    "hinge_embedding_loss", "binary_cross_entropy", "multilabel_soft_margin_loss",
])  # fmt: skip
def test_losses_never_broadcast(name):
    with pytest.raises(ValueError, match=r"never broadcast.*\[test_more_functions") as found:
        getattr(F, name)(am.ones(4, 1), am.ones(4))
    assert "squeeze(1)" in str(found.value)


def test_certain_and_wrong_is_finite_and_has_a_gradient():
    x = am.tensor([0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(x, am.tensor([1.0, 0.0]), reduction="none")
    assert loss.tolist() == [100.0, 100.0]
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [-1e12, 1e12], rtol=1e-6)


@pytest.mark.parametrize("name", ["input", "target"])
@pytest.mark.parametrize("wrong", [1.5, -0.25, np.nan])
def test_what_is_no_probability_is_refused_as_by_torch(name, wrong):
    values = {"input": np.float32([0.5, 0.25]), "target": np.float32([1.0, 0.0])}
    values[name] = np.float32([0.5, wrong])
    with pytest.raises(RuntimeError, match=rf"elements of {name} should be between 0 and 1"):
        TF.binary_cross_entropy(**{n: torch.from_numpy(v) for n, v in values.items()})
    given = {n: am.tensor(v) for n, v in values.items()}
    with pytest.raises(ValueError, match=rf"value of {name} is {wrong}; need 0 <= {name} <= 1.*\["):
        F.binary_cross_entropy(**given)
    jitted = am.jit(F.binary_cross_entropy)
    fine = am.tensor([0.5, 0.25]), am.tensor([1.0, 0.0])
    expected = F.binary_cross_entropy(*fine).item()
    assert jitted(*fine).item() == expected
    with pytest.raises(ValueError, match=f"value of {name} is out of range"):
        jitted(given["input"], given["target"])
    assert jitted(*fine).item() == expected
    if name == "input":  # still to be computed: not waited for
        later = given["input"] * am.ones(2)
        assert np.isnan(F.binary_cross_entropy(later, given["target"]).item())


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("rank", "p"), [(1, 2.0), (2, 3.0), (3, 1.5), (2, np.inf)])
def test_pooling_by_norms(rank, p, ceil):
    x = np.abs(array(2, 3, *(7, 5, 6)[:rank]))
    options = {"kernel_size": (3, 2, 2)[:rank] if rank > 1 else 3, "stride": 2, "ceil_mode": ceil}
    agree(lambda x: getattr(F, f"lp_pool{rank}d")(x, p, **options),
          lambda x: getattr(TF, f"lp_pool{rank}d")(x, p, **options), x, rtol=1e-4)  # fmt: skip


def test_the_norm_of_zeros_has_no_gradient():
    x = am.zeros(1, 1, 4, requires_grad=True)
    y = F.lp_pool1d(x, 2, 2)
    y.sum().backward()
    assert y.tolist() == [[[0.0, 0.0]]]
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8"])
def test_narrow_integers_are_convolved_and_pooled(dtype):
    x = np.arange(2 * 4 * 6, dtype=dtype).reshape(1, 2, 4, 6) % 5
    w = (np.arange(3 * 2 * 2 * 2) % 3).astype(dtype).reshape(3, 2, 2, 2)
    wide, wide_w = torch.tensor(x.astype(np.int64)), torch.tensor(w.astype(np.int64))
    for found, wanted in (
        (F.conv2d(am.tensor(x), am.tensor(w), padding=1), TF.conv2d(wide, wide_w, padding=1)),
        (F.max_pool2d(am.tensor(x), 3, 1, 1), TF.max_pool2d(wide, 3, 1, 1)),
        (F.avg_pool2d(am.tensor(x), 3, 1, 1), TF.avg_pool2d(wide, 3, 1, 1)),
    ):
        assert found.dtype.name == dtype
        np.testing.assert_array_equal(found.numpy(), wanted)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_complex_convolutions(name):
    x, w, seed = (
        array(*shape) + 1j * array(*shape) for shape in ((1, 2, 4, 5), (2, 2, 2, 3), (1,))
    )
    mine = [am.tensor(a, requires_grad=True) for a in (x, w)]
    other = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    y, ty = getattr(F, name)(*mine, padding=1), getattr(TF, name)(*other, padding=1)
    np.testing.assert_allclose(y.numpy(), ty.detach(), rtol=1e-5, atol=1e-5)
    seed = np.broadcast_to(seed, y.shape).copy()
    y.backward(am.tensor(seed))
    ty.backward(torch.tensor(seed))
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.resolve_conj(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("call", [
    lambda x: F.conv1d(x, x), lambda x: F.linear(x[0], x[0]), lambda x: F.max_pool1d(x, 2),
])  # fmt: skip
def test_bools_are_no_numbers(call):
    with pytest.raises(am.core.errors.DTypeError, match=r"got bool; need numbers"):
        call(am.tensor(np.ones((2, 2, 2), bool)))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_strides_of_many_phases(size):
    """7 x 7 x 7 phases of the stride, of which windows reach few or a hundred."""
    image = np.random.default_rng(0).normal(size=(1, 2, 13, 9, 16)).astype(np.float32)
    x, t = am.tensor(image, requires_grad=True), torch.tensor(image, requires_grad=True)
    filters = np.random.default_rng(1).normal(size=(3, 2, size, size, size)).astype(np.float32)
    weight = am.tensor(filters)
    (F.max_pool3d(x, size, 7).sum() + F.conv3d(x, weight, stride=7).sum()).backward()
    theirs = torch.nn.functional.max_pool3d(t, size, 7).sum()
    (theirs + torch.nn.functional.conv3d(t, torch.tensor(filters), stride=7).sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-5, atol=1e-6)
