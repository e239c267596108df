"""PyTorch's database of modules (`module_db`) against ours: the same class, the same arguments, its
weights carried over by `state_dict`; then results, gradients, running statistics, repr, refusals.
"""

import random
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

import ambos as am
from ambos.core.errors import AmbosError
from tests.parity import more_modules
from tests.parity.check import Outcome, described, outcome_of, quiet, shown, weights_like
from tests.parity.check import check as check_operator
from tests.parity.compare import difference
from tests.parity.convert import Translation, flat, from_torch
from tests.parity.database import chosen

with warnings.catch_warnings():  # what torch says about its own test helpers
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

SEED = 2024
DATABASE = {info.name: info for info in module_db}
ENTRIES: dict[str, Any] = DATABASE | more_modules.ENTRIES
ASPECTS = ("train", "eval", "gradients", "state", "repr", "refusals")
OUT: dict[str, str] = {}  # entries that are not to be mapped, and why
# How much wider than usual: gradients through many layers, of which the largest terms cancel.
SCALES = {"nn.Transformer": 8.0, "nn.TransformerDecoderLayer": 8.0, "nn.TransformerEncoder": 8.0}
# What torch's repr says that ours does not, and the other way round.
SPELLINGS = (("NonDynamicallyQuantizableLinear", "Linear"),)


def mapped(entries: Iterable[str] = ENTRIES) -> list[str]:
    """The entries whose class we have."""
    return sorted(name for name in entries if ours_of(name) is not None)


def ours_of(name: str) -> Any:
    """Our class for an entry; None if there is none."""
    return None if name in OUT else getattr(am.nn, name.removeprefix("nn."), None)


class Built(Translation):
    """Arguments of ours for those of a sample, modules and functions among them."""

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.nn.LayerNorm):
            return am.nn.LayerNorm(value.normalized_shape, value.eps)
        if isinstance(value, (torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer)):
            attention = value.self_attn
            made = getattr(am.nn, type(value).__name__)(
                attention.embed_dim, attention.num_heads, value.linear1.out_features,
                value.dropout.p, value.activation.__name__, value.norm1.eps,
                attention.batch_first, value.norm_first, value.linear1.bias is not None,
            )  # fmt: skip
            carry(value.state_dict(), made)
            return made
        if callable(value) and str(getattr(value, "__module__", "")).startswith("torch"):
            return getattr(am.nn.functional, value.__name__)
        return super().__call__(value)

    @classmethod
    def of(cls, given: Any) -> "Built":
        """The arguments of a call."""
        return cls(_Sample(given))


class _Sample:
    def __init__(self, given: Any) -> None:
        self.input, self.args, self.kwargs = None, tuple(given.args), dict(given.kwargs)


def samples(name: str, training: bool, limit: int | None) -> list[Any]:
    """The samples of an entry, or some of them, always the same ones."""
    _seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = ENTRIES[name]
        found = list(info.module_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=True, training=training
        ))  # fmt: skip
    return [found[n] for n in chosen(name, len(found), limit)]


def _seed() -> None:
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


def carry(state: dict[str, torch.Tensor], ours: am.nn.Module) -> None:
    """Their numbers into our module, under the same names in the same order."""
    assert [*ours.state_dict()] == [*state], f"keys {[*ours.state_dict()]}, torch has {[*state]}"
    ours.load_state_dict(state)


def check(name: str, limit: int | None = None) -> Outcome:
    """Every sample of an entry, in training and in use."""
    outcome = Outcome(name)
    with quiet():
        for training in (True, False):
            for number, sample in enumerate(samples(name, training, limit)):
                call = shown(_Sample(sample.constructor_input)) + shown(
                    _Sample(sample.forward_input)
                )
                for aspect, reason in _trial(name, sample, training):
                    outcome.note(aspect, number, reason, call)
        for number, (sample, error) in enumerate(_refused(name, limit)):
            outcome.note("refusals", number, _refusal(name, sample, error), "")
    return outcome


def _trial(name: str, sample: Any, training: bool) -> Iterator[tuple[str, str | None]]:
    """What came of a sample, aspect by aspect; nothing where torch itself refuses it."""
    aspect = "train" if training else "eval"
    given, call = sample.constructor_input, sample.forward_input
    try:
        theirs = ENTRIES[name].module_cls(*given.args, **given.kwargs).train(training).float()
        translated = Built.of(call)  # first: a call may write to its input
        if ENTRIES[name].is_lazy:
            theirs(*call.args, **call.kwargs)
        state = {key: value.clone() for key, value in theirs.state_dict().items()}
        expected = theirs(*call.args, **call.kwargs)
    except Exception:
        return
    try:
        settings = Built.of(given)
        ours = ours_of(name)(*settings.args, **settings.kwargs).train(training).float()
        carry(state, ours)
        found = ours(*translated.args, **translated.kwargs)
        values = not (training and name in more_modules.DRAWN)
        gradients = _gradients(theirs, ours, expected, found, translated)
        # One program for all.
        am.evaluate(*[x for x in flat([found, gradients]) if isinstance(x, am.Tensor)])
        yield aspect, difference(found, expected, values)
        if gradients is not None and values:
            yield "gradients", difference(*gradients, scale=SCALES.get(name, 1.0))
        yield "repr", _repr_difference(theirs, ours)
        if training and [*theirs.buffers()]:
            state = {k: v.detach() for k, v in theirs.named_buffers()}
            yield "state", difference(dict(ours.named_buffers()), state)
    except Exception as error:
        yield aspect, described(error)


def _repr_difference(theirs: torch.nn.Module, ours: am.nn.Module) -> str | None:
    expected = repr(theirs)
    for word, other in SPELLINGS:
        expected = expected.replace(word, other)
    return None if repr(ours) == expected else f"{ours!r}, torch has {expected}"


def _gradients(
    theirs: torch.nn.Module, ours: am.nn.Module, expected: Any, found: Any, translated: Built
) -> tuple[list[Any], list[Any]] | None:
    """Gradients of both sides by inputs and parameters, for random weights of all results."""
    results, mine = flat(expected), flat(found)
    at = [i for i, y in enumerate(results) if isinstance(y, torch.Tensor) and y.requires_grad]
    own_parameters = dict(ours.named_parameters())
    leaves = translated.leaves() + [(p, own_parameters[k]) for k, p in theirs.named_parameters()]
    if not at or not leaves:
        return None
    random = np.random.default_rng(SEED)
    weights = [weights_like(random, results[i]) for i in at]
    theirs_found = torch.autograd.grad(
        [results[i] for i in at], [x for x, _ in leaves], weights, allow_unused=True
    )
    ours_found = am.autograd.grad(
        [mine[i] for i in at], [x for _, x in leaves], [from_torch(w) for w in weights],
        allow_unused=True,
    )  # fmt: skip
    own = [am.zeros_like(x) if g is None else g
           for (_, x), g in zip(leaves, ours_found, strict=True)]  # fmt: skip
    other = [torch.zeros_like(x) if g is None else g
             for (x, _), g in zip(leaves, theirs_found, strict=True)]  # fmt: skip
    return own, other


def _refused(name: str, limit: int | None) -> list[tuple[Any, Any]]:
    """What torch refuses: samples, and what it says."""
    info = ENTRIES[name]
    if info.module_error_inputs_func is None:
        return []
    _seed()
    found = info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    )
    return [(found[n].module_error_input, found[n]) for n in chosen(name, len(found), limit)]


def _refusal(name: str, sample: Any, error: Any) -> str | None:
    """None if we refuse what torch refuses, in our own words."""
    try:
        settings = Built.of(sample.constructor_input)
        module = ours_of(name)(*settings.args, **settings.kwargs)
        if error.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
            return f"no error when it is made; torch says {error.error_regex!r}"
        call = Built.of(sample.forward_input)
        result = module(*call.args, **call.kwargs)
        am.evaluate(*[leaf for leaf in flat(result) if isinstance(leaf, am.Tensor)])
    except AmbosError:
        return None
    except Exception as other:
        return f"an error that is not ours, {described(other)}"
    return f"no error; torch says {error.error_regex!r}"


def outcome_of_either(task: tuple[str, int | None]) -> Outcome:
    """An entry's outcome, of a module or an operator; an error of the harness itself counts as a
    failure of the entry. (Here, for worker processes cannot import it from `__main__`.)"""
    return outcome_of(task, check if task[0] in ENTRIES else check_operator)
