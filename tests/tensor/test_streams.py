"""Random streams: every sampler draws the same from a key lazily, jitted, vmapped and in a loop."""

import inspect

import pytest

import ambos as am
from ambos.core.errors import ArgumentError

KEYS = {"key", "split", "fold_in"}
STREAM = {  # of the global stream, under PyTorch's names; each has a neighbour that takes a key
    "rand", "randn", "rand_like", "randn_like", "randint", "randperm", "multinomial", "bernoulli_",
    "normal_", "uniform_",
}  # fmt: skip
SETTINGS = {"Generator", "default_generator", "manual_seed", "seed"}
LOGITS = am.tensor([[0.1, 1.0, -2.0], [0.5, 0.5, 0.0]] * 8)
SAMPLERS = {
    "bernoulli": lambda key: am.random.bernoulli(key, 0.3, (4, 5)),
    "beta": lambda key: am.random.beta(key, 2.0, 0.5, (7,)),
    "binomial": lambda key: am.random.binomial(key, 9, 0.3, (7,)),
    "categorical": lambda key: am.random.categorical(key, LOGITS),
    "cauchy": lambda key: am.random.cauchy(key, (7,)),
    "choice": lambda key: am.random.choice(key, 9, (4,), replace=False),
    "dirichlet": lambda key: am.random.dirichlet(key, am.tensor([1.0, 2.0, 0.5]), (3,)),
    "exponential": lambda key: am.random.exponential(key, (7,)),
    "gamma": lambda key: am.random.gamma(key, 1.7, (7,)),
    "geometric": lambda key: am.random.geometric(key, 0.3, (7,)),
    "gumbel": lambda key: am.random.gumbel(key, (7,)),
    "integers": lambda key: am.random.integers(key, -3, 11, (2, 7)),
    "laplace": lambda key: am.random.laplace(key, (7,)),
    "log_normal": lambda key: am.random.log_normal(key, (7,)),
    "normal": lambda key: am.random.normal(key, (2, 7), dtype="float64"),
    "permutation": lambda key: am.random.permutation(key, 11),
    "poisson": lambda key: am.random.poisson(key, 3.5, (7,)),
    "truncated_normal": lambda key: am.random.truncated_normal(key, -1.0, 2.0, (7,)),
    "uniform": lambda key: am.random.uniform(key, (2, 7)),
    "split": lambda key: am.random.split(key, 3),
    "fold_in": lambda key: am.random.fold_in(key, 5),
}


def bits(tensor):
    return tensor.shape, tensor.dtype.name, tensor.numpy().tobytes()


def test_every_sampler_takes_a_key_first_and_is_tested():
    names = {*am.random.__all__}
    assert names == KEYS | STREAM | SETTINGS | {*SAMPLERS}
    for name in SAMPLERS:
        assert next(iter(inspect.signature(getattr(am.random, name)).parameters)) == "key", name


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_key_gives_one_stream(name):
    draw, keys = SAMPLERS[name], am.evaluate(am.random.split(am.random.key(7), 4))
    each = [bits(draw(keys[row])) for row in range(4)]
    assert len({*each}) == 4
    assert bits(draw(keys[0])) == each[0]
    jitted = am.jit(draw)
    assert [bits(jitted(keys[row])) for row in range(4)] == each
    mapped = am.vmap(draw)(keys)
    assert [bits(mapped[row]) for row in range(4)] == each
    _, scanned = am.scan(lambda carry, key: (carry, draw(key)), am.zeros(()), keys)
    assert [bits(scanned[row]) for row in range(4)] == each


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in KEYS])
def test_the_global_stream_is_the_same_lazily_and_jitted(name):
    draw = lambda: SAMPLERS[name](None)
    found = []
    for run in (draw, am.jit(draw)):
        am.manual_seed(11)
        found.append([bits(run()) for _ in range(3)])
    assert found[0] == found[1]
    assert len({*found[0]}) == 3


def test_a_key_where_numbers_are_wanted() -> None:
    with pytest.raises(ArgumentError, match=r"am\.random\.integers\(key"):
        am.random.randint(am.random.key(0), (4,), 0, 10)
