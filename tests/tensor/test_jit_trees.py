"""jit on trees: what comes in and goes out, what is refused, and what is left behind then."""

import dataclasses
from collections import OrderedDict, defaultdict
from typing import NamedTuple

import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError, TracingError


class Batch(NamedTuple):
    x: am.Tensor
    y: am.Tensor | None


@am.tree.register_dataclass
@dataclasses.dataclass
class State:
    weight: object
    extra: object
    name: str = dataclasses.field(default="s", metadata={"static": True})


@dataclasses.dataclass(eq=False)
class Unknown:
    x: am.Tensor


def numbers(found):
    return am.tree.map(lambda leaf: leaf.tolist() if isinstance(leaf, am.Tensor) else leaf, found)


TREES = {
    "dict": lambda: {"b": am.ones(2), "a": [am.zeros(1), (3, None)]},
    "ordered": lambda: OrderedDict(z=am.ones(2), a=1.5),
    "default": lambda: defaultdict(list, a=[am.ones(2)]),
    "named": lambda: Batch(am.ones(2), None),
    "dataclass": lambda: State(am.ones(2), {"k": (am.zeros(1), "text")}),
    "nested": lambda: [State(Batch(am.ones(2), am.zeros(1)), None, "n"), ()],
}


@pytest.mark.parametrize("name", TREES)
def test_trees_come_in_and_go_out(name):
    def doubled(tree):
        calls.append(type(tree))
        twice = lambda leaf: leaf * 2 if isinstance(leaf, am.Tensor) else leaf
        return {"tree": am.tree.map(twice, tree), "fixed": "text", "none": None}

    calls = []
    jitted = am.jit(doubled)
    results = [jitted(TREES[name]()) for _ in range(3)]
    assert len(calls) == 1
    expected = doubled(TREES[name]())
    for result in results:
        assert numbers(result) == numbers(expected)
        assert am.tree.structure(result) == am.tree.structure(expected)
    assert type(results[0]["tree"]) is type(TREES[name]())
    assert numbers(jitted(tree=TREES[name]())) == numbers(expected)


def test_what_is_static_tells_recordings_apart():
    calls = []

    @am.jit
    def apply(fn, state):
        calls.append(fn)
        return fn(state.weight), state.name

    x = am.tensor([0.0, 1.0])
    for fn, name in ((am.exp, "a"), (am.abs, "a"), (am.exp, "b"), (am.exp, "a")):
        found = apply(fn, State(x, None, name))
        assert found[0].tolist() == fn(x).tolist()
        assert found[1] == name
    assert len(calls) == 3


def test_modules_methods_and_optimizers_as_arguments():
    am.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.Adam(net.parameters(), lr=0.05)
    x = am.rand(32, 2)
    calls = []

    @am.jit
    def step(net, optimizer, x):
        calls.append(1)
        loss = ((net(x) - x.sum(axis=1, keepdims=True)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, net

    losses = []
    for _ in range(20):
        loss, same = step(net, optimizer, x)
        losses.append(loss.item())
        assert same is net  # the module itself, not a copy
    assert losses[-1] < losses[0] / 4
    assert len(calls) == 1


CHANGES = [
    (lambda t: t["xs"].append(1), r"t\['xs'\] in place, now a list of 2, and was a list of 1"),
    (lambda t: t.update(new=1), r"t in place, now a dict with the keys 'new', 's', 'xs', and was"),
    (lambda t: t.pop("s"), r"t in place, now a dict with the keys 'xs', and was"),
    (lambda t: t["xs"].__setitem__(0, t["xs"][0] * 2), r"t\['xs'\]\[0\] in place, now another val"),
    (lambda t: setattr(t["s"], "weight", None), r"t\['s'\]\.weight in place, now None, and was a"),
    (lambda t: t["s"].extra.clear(), r"t\['s'\]\.extra in place, now a list of 0"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_changed_containers_are_refused_with_their_path(change, says):
    argument = {"xs": [am.ones(2)], "s": State(am.ones(1), [am.zeros(1)])}
    before = numbers(argument)
    weight = am.ones(2)

    def function(t):
        weight.add_(1)
        change(t)
        return weight

    with pytest.raises(TracingError, match=rf"jit: the function changes argument {says}"):
        am.jit(function)(argument)
    assert numbers(argument) == before
    assert weight.tolist() == [1, 1]
    assert am.jit(lambda t: t["xs"][0] + 1)(argument).tolist() == [2, 2]


@pytest.mark.parametrize("transform", [am.grad, am.vmap, lambda f: lambda p: am.eval_shape(f, p)])
def test_every_transform_refuses_changes(transform):
    def function(params):
        params["hidden"] = [params["w"] * 2]
        return params["w"].sum()

    params = {"w": am.ones(3)}
    with pytest.raises(TracingError, match=(
        r"changes argument (0|params) in place, now a dict with the keys 'hidden', 'w', and was"
    )):  # fmt: skip
        transform(function)(params)
    assert params.keys() == {"w"}
    assert am.grad(lambda p: p["w"].sum())(params)["w"].tolist() == [1, 1, 1]


LEAKED: list = []


class Holder:
    last = None


def to_a_global(x):
    LEAKED.append(x * 2)
    return x


def to_an_attribute(x):
    Holder.last = {"h": [x.sum()]}
    return x


@pytest.mark.parametrize("function", [to_a_global, to_an_attribute])
@pytest.mark.parametrize("transform", [am.jit, am.vmap])
def test_a_leak_is_refused_at_once_with_the_line_that_made_it(function, transform):
    LEAKED.clear()
    x = am.evaluate(am.rand(3, 2))
    with pytest.raises(TracingError, match=r"keeps (a )?tensors? .* at test_jit_trees\.py:\d+"):
        transform(function)(x)
    assert am.jit(lambda x: x + 1)(x).shape == (3, 2)
    assert am.vmap(lambda x: x + 1)(x).shape == (3, 2)
    LEAKED.clear()
    Holder.last = None


def test_what_is_made_once_and_kept_is_state():
    class Cached:
        mask = None

        def __call__(self, x):
            if self.mask is None:
                self.mask = am.tril(am.ones(3, 3))
            return x * self.mask

    cached = Cached()
    jitted = am.jit(cached)
    for _ in range(4):
        assert jitted(am.ones(3, 3)).sum().item() == 6


def test_a_dataclass_that_trees_do_not_know_is_named_coming_and_going():
    with pytest.raises(ArgumentError, match=r"jit: an argument is Unknown, a dataclass that trees"):
        am.jit(lambda s: s.x)(Unknown(am.ones(2)))
    with pytest.raises(ArgumentError, match=r"jit: result\[0\] is Unknown, .*register_dataclass"):
        am.jit(lambda x: (Unknown(x * 2), 1))(am.ones(2))
    with pytest.raises(ArgumentError, match="neither a tensor nor hashable"):
        am.jit(lambda s: s)({1, 2})
    assert am.jit(lambda x: x * 2)(am.ones(2)).tolist() == [2, 2]
