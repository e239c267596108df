"""`am.random`: random tensors from explicit keys or from the global stream."""

from ambos.tensor.random.basic import (
    bernoulli,
    bernoulli_,
    choice,
    fold_in,
    integers,
    key,
    normal,
    normal_,
    permutation,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    split,
    uniform,
    uniform_,
)
from ambos.tensor.random.distributions import (
    beta,
    binomial,
    categorical,
    cauchy,
    dirichlet,
    exponential,
    gamma,
    geometric,
    gumbel,
    laplace,
    log_normal,
    poisson,
    truncated_normal,
)
from ambos.tensor.random.generator import Generator, default_generator, manual_seed, seed
from ambos.tensor.random.torch_names import multinomial

__all__ = [
    "Generator", "bernoulli", "bernoulli_", "beta", "binomial", "categorical", "cauchy", "choice",
    "default_generator", "dirichlet", "exponential", "fold_in", "gamma", "geometric", "gumbel",
    "integers", "key", "laplace", "log_normal", "manual_seed", "multinomial", "normal", "normal_",
    "permutation", "poisson", "rand", "rand_like", "randint", "randn", "randn_like", "randperm",
    "seed", "split", "truncated_normal", "uniform", "uniform_",
]  # fmt: skip
