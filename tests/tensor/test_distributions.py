"""Samplers: their distributions by Kolmogorov-Smirnov or chi-square, with fixed keys; gradients of
the smooth ones; the same numbers whatever they are computed with."""

import numpy as np
import pytest
from scipy import stats

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

KEY = am.random.key(99)
SIZE = 20_000


def is_like(x, distribution):
    x = x.numpy()
    assert x.shape == (SIZE,)
    assert np.isfinite(x).all()
    assert stats.kstest(x, distribution.cdf).pvalue > 0.003


@pytest.mark.parametrize(
    ("drawn", "distribution"),
    [
        (lambda: am.random.exponential(KEY, (SIZE,)), stats.expon()),
        (lambda: am.random.exponential(KEY, (SIZE,), rate=am.tensor(4.0)), stats.expon(scale=0.25)),
        (lambda: am.random.exponential(KEY, (SIZE,), dtype=am.float64), stats.expon()),
        (lambda: am.random.gumbel(KEY, (SIZE,), 1.0, 2.0), stats.gumbel_r(1, 2)),
        (lambda: am.random.laplace(KEY, (SIZE,), -1.0, 0.5), stats.laplace(-1, 0.5)),
        (lambda: am.random.cauchy(KEY, (SIZE,), 2.0, 3.0), stats.cauchy(2, 3)),
        (lambda: am.random.log_normal(KEY, (SIZE,), 0.5, 0.25),
         stats.lognorm(0.25, scale=np.exp(0.5))),
        (lambda: am.random.truncated_normal(KEY, -0.5, 2.0, (SIZE,)), stats.truncnorm(-0.5, 2)),
        (lambda: am.random.truncated_normal(KEY, 5.0, 7.0, (SIZE,), mean=1.0, std=2.0),
         stats.truncnorm(2, 3, 1, 2)),
        (lambda: am.random.truncated_normal(KEY, 30.0, 31.0, (SIZE,), dtype=am.float64),
         stats.truncnorm(30, 31)),
        *[(lambda a=a: am.random.gamma(KEY, a, (SIZE,)), stats.gamma(a))
          for a in (0.05, 0.5, 1.0, 2.5, 40.0, 1e4)],
        (lambda: am.random.gamma(KEY, am.tensor(3.0).double(), (SIZE,), rate=2.0),
         stats.gamma(3, scale=0.5)),
        *[(lambda a=a, b=b: am.random.beta(KEY, a, b, (SIZE,)), stats.beta(a, b))
          for a, b in ((0.5, 0.5), (2.0, 5.0), (100.0, 3.0))],
        (lambda: am.random.dirichlet(KEY, am.tensor([1.0, 2.0, 3.0]), (SIZE,))[:, 1],
         stats.beta(2, 4)),
    ],
)  # fmt: skip
def test_continuous_distributions(drawn, distribution):
    is_like(drawn(), distribution)


def counts_are_like(x, distribution):
    x = x.numpy()
    assert np.issubdtype(x.dtype, np.integer)
    low, high = x.min(), x.max()
    edges = np.unique(distribution.ppf(np.linspace(0, 1, 33)[1:-1]))
    cells = np.searchsorted(edges, x)
    found = np.bincount(cells, minlength=len(edges) + 1)
    shares = np.diff(np.concatenate([[0], distribution.cdf(edges), [1]]))
    keep = shares * len(x) >= 5
    assert found[~keep].sum() <= 30
    total = found[keep].sum()
    assert stats.chisquare(found[keep], shares[keep] / shares[keep].sum() * total).pvalue > 0.003
    assert distribution.cdf(low) > 1e-9
    assert distribution.sf(high - 1) > 1e-9


@pytest.mark.parametrize(
    ("drawn", "distribution"),
    [
        *[(lambda p=p: am.random.geometric(KEY, p, (SIZE,)), stats.geom(p))
          for p in (0.02, 0.5, 0.9)],
        *[(lambda r=r: am.random.poisson(KEY, r, (SIZE,)), stats.poisson(r))
          for r in (0.1, 3.0, 9.99, 10.0, 55.5, 1e5)],
        *[(lambda n=n, p=p: am.random.binomial(KEY, n, p, (SIZE,)), stats.binom(n, p))
          for n, p in ((5, 0.3), (20, 0.5), (40, 0.9), (1000, 0.02), (1000, 0.7), (10**6, 0.4))],
    ],
)  # fmt: skip
def test_counts(drawn, distribution):
    counts_are_like(drawn(), distribution)


def test_edges_of_the_parameters():
    assert am.random.poisson(KEY, am.zeros(3)).tolist() == [0, 0, 0]
    assert am.random.binomial(KEY, 7, am.tensor([0.0, 1.0])).tolist() == [0, 7]
    assert am.random.binomial(KEY, 0, 0.5, (2,)).tolist() == [0, 0]
    assert am.random.geometric(KEY, am.tensor([1.0, 1.0])).tolist() == [1, 1]
    tiny = am.random.beta(KEY, 1e-4, 1e-4, (1000,)).numpy()
    assert np.isfinite(tiny).all()
    assert am.random.gamma(KEY, am.zeros(0)).shape == (0,)
    assert am.random.gamma(KEY, am.ones(3).half()).dtype is am.float32


def test_categorical():
    logits = am.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, -100.0]])
    x = am.random.categorical(KEY, logits, shape=(SIZE, 2)).numpy()
    assert x.dtype == np.int64
    weights = np.exp([0.0, 1.0, 2.0])
    found = np.bincount(x[:, 0], minlength=3)
    assert stats.chisquare(found, weights / weights.sum() * SIZE).pvalue > 0.003
    assert set(x[:, 1]) == {0, 1}
    assert am.random.categorical(KEY, logits).shape == (2,)
    assert am.random.categorical(KEY, logits, axis=0).shape == (3,)
    with pytest.raises(ShapeError, match="categorical: shapes"):
        am.random.categorical(KEY, logits, shape=(5,))


def test_samples_depend_on_the_key_the_place_and_the_parameters_only():
    """Not on the neighbours, the batch or the number of threads: each loops for itself."""
    rates = am.tensor(np.exp(np.random.default_rng(0).uniform(-2, 8, 5000)).astype(np.float32))
    whole = am.random.poisson(KEY, rates).numpy()
    gammas = am.random.gamma(KEY, rates).numpy()
    for count in (1, 17, 1000):
        assert (am.random.poisson(KEY, rates[:count]).numpy() == whole[:count]).all()
        assert (am.random.gamma(KEY, rates[:count]).numpy() == gammas[:count]).all()
    assert (am.random.gamma(KEY, rates.reshape(50, 100)).numpy().ravel() == gammas).all()
    assert (am.random.gamma(am.random.key(98), rates).numpy() != gammas).mean() > 0.99
    assert len(np.unique(gammas)) > 4900


def test_neighbours_are_independent():
    x = am.random.gamma(KEY, 2.0, (SIZE,)).numpy()
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(SIZE)
    y = am.random.gamma(am.random.split(KEY)[0], 2.0, (SIZE,)).numpy()
    assert abs(np.corrcoef(x, y)[0, 1]) < 4 / np.sqrt(SIZE)


@pytest.mark.parametrize("name", ["exponential", "gumbel", "laplace", "cauchy", "normal"])
def test_gradients_by_reparameterisation(name):
    """The sample is a line in loc and scale (or a line in 1 / rate)."""
    if name == "exponential":
        rate = am.tensor(2.0, requires_grad=True)
        x = am.random.exponential(KEY, (7,), rate)
        x.sum().backward()
        assert np.isclose(rate.grad.item(), -x.detach().sum().item() / 2, rtol=1e-5)
        return
    loc, scale = (am.tensor(v, requires_grad=True) for v in (0.5, 2.0))
    x = getattr(am.random, name)(KEY, (7,), loc, scale)
    x.sum().backward()
    assert np.isclose(loc.grad.item(), 7)
    assert np.isclose(scale.grad.item(), ((x.detach() - 0.5) / 2).sum().item(), rtol=1e-4)


def test_gamma_and_its_kin_have_implicit_gradients():
    """The mean of gamma is its shape; that of a Dirichlet share is its part of the sum."""
    a = am.full((SIZE,), 3.0, requires_grad=True)
    am.random.gamma(KEY, a).sum().backward()
    assert abs(a.grad.mean().item() - 1) < 0.02
    a, b = (am.full((SIZE,), v, requires_grad=True) for v in (2.0, 5.0))
    am.random.beta(KEY, a, b).sum().backward()
    assert abs(a.grad.mean().item() - 5 / 49) < 0.005
    assert abs(b.grad.mean().item() + 2 / 49) < 0.005
    a = am.tensor([1.0, 2.0, 3.0], requires_grad=True)
    am.random.dirichlet(KEY, a, (SIZE,))[:, 0].mean().backward()
    np.testing.assert_allclose(a.grad.numpy(), [5 / 36, -1 / 36, -1 / 36], atol=0.005)


def test_truncated_normal_moves_with_its_mean():
    mean = am.tensor(0.0, requires_grad=True)
    x = am.random.truncated_normal(KEY, -1e3, 1e3, (5,), mean=mean)
    x.sum().backward()
    assert np.isclose(mean.grad.item(), 5, rtol=1e-4)


def test_torchs_names():
    am.manual_seed(5)
    x = am.empty(SIZE)
    is_like(x.exponential_(2.0), stats.expon(scale=0.5))
    is_like(x.cauchy_(1.0, 2.0), stats.cauchy(1, 2))
    is_like(x.log_normal_(0.0, 0.5), stats.lognorm(0.5))
    counts_are_like(x.geometric_(0.2).long(), stats.geom(0.2))
    x = am.zeros(1000, dtype=am.int64).random_(3, 6)
    assert set(x.tolist()) == {3, 4, 5}
    assert am.zeros(9).random_().max().item() < 1 << 24
    assert am.poisson(am.full((4,), 100.0)).dtype is am.float32
    assert am.binomial(am.full((4,), 10.0), am.full((4,), 0.5)).max().item() <= 10
    means = am.tensor([0.0, 100.0])
    assert abs(am.normal(means, am.tensor([1.0, 0.1])).numpy()[1] - 100) < 1
    assert am.normal(0.0, 1.0, size=(2, 3)).shape == (2, 3)
    assert am.normal(means).dtype is am.float32
    assert am.bernoulli(am.tensor([0.0, 1.0, 1.0])).tolist() == [0.0, 1.0, 1.0]
    with pytest.raises(ArgumentError, match=r"geometric_: p is 1.5; need 0 < p < 1"):
        x.geometric_(1.5)


def test_a_jitted_sampler_draws_anew():
    @am.jit
    def draw(rate):
        return am.poisson(rate)

    rate = am.full((50,), 30.0)
    assert draw(rate).tolist() != draw(rate).tolist()


@pytest.mark.parametrize("value", [0, -1.5, float("nan")])
def test_scales_are_positive(value):
    x = am.ones(3)
    for call in (
        lambda: am.random.gumbel(KEY, (2,), scale=value),
        lambda: am.random.laplace(KEY, (2,), scale=value),
        lambda: x.exponential_(value), lambda: x.cauchy_(0, value), lambda: x.log_normal_(0, value),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match="need a number above 0"):
            call()
    assert x.tolist() == [1, 1, 1]
    with pytest.raises(ArgumentError, match=r"bernoulli: p is 1\.5; need a number of at least 0"):
        am.random.bernoulli(KEY, 1.5, (2,))
