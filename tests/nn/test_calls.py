"""functional_call and stack_modules, against torch.func, and what they leave behind."""

import threading

import numpy as np
import pytest
import torch
from torch.func import functional_call as torch_call

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError, UnknownNameError
from ambos.tensor import lending


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)
        self.second.weight = nn.Parameter(am.rand(4, 4))
        self.third = nn.Linear(4, 4, bias=False)
        self.third.weight = self.second.weight
        self.layers = [self.first, self.norm]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.third(self.second(x).tanh())


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)
        self.second, self.third = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4, bias=False)
        self.third.weight = self.second.weight

    def forward(self, x):
        return self.third(self.second(self.norm(self.first(x))).tanh())


@pytest.fixture
def net():
    am.manual_seed(0)
    return Net()


def state_of(net):
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}


def test_against_torch(net):
    other = TorchNet()
    values = {k: np.random.default_rng(1).normal(size=v.shape).astype(np.float32)
              for k, v in net.named_parameters()}  # fmt: skip
    x = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    before = state_of(net)
    ours = {k: am.tensor(v) for k, v in values.items()}
    buffers = {k: am.tensor(v.numpy()) for k, v in net.named_buffers()}
    theirs = {k: torch.tensor(v) for k, v in values.items()}
    their_buffers = {k: v.clone() for k, v in other.named_buffers()}
    mine = am.functional_call(net, (ours, buffers), am.tensor(x))
    spelt = am.func.functional_call(net, (ours, dict(net.named_buffers())), (am.tensor(x),))
    expected = torch_call(other, (theirs, their_buffers), (torch.tensor(x),))
    np.testing.assert_allclose(mine.numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert spelt.numpy().tobytes() == mine.numpy().tobytes()
    for name, buffer in buffers.items():  # renewed, as torch renews the tensors given
        np.testing.assert_allclose(buffer.numpy(), their_buffers[name].numpy(), rtol=1e-5)
    assert net.norm.num_batches_tracked.item() == 1  # the second call had the module's own
    after = state_of(net)
    assert {k for k in before if before[k] != after[k]} <= {f"norm.{b}" for b in (
        "running_mean", "running_var", "num_batches_tracked")}  # fmt: skip


def test_new_buffers_are_a_result(net):
    params, buffers = dict(net.named_parameters()), dict(net.named_buffers())
    before, x = state_of(net), am.rand(5, 3)
    out, new = am.functional_call(net, (params, buffers), x, return_buffers=True)
    assert state_of(net) == before
    assert new.keys() == buffers.keys()
    assert new["norm.num_batches_tracked"].item() == 1
    assert not (new["norm.running_mean"] == buffers["norm.running_mean"]).any()
    again, newer = am.functional_call(net, (params, new), x, return_buffers=True)
    assert newer["norm.num_batches_tracked"].item() == 2
    assert out.numpy().tobytes() == net(x).numpy().tobytes() == again.numpy().tobytes()
    for name, buffer in net.named_buffers():
        assert buffer.numpy().tobytes() == new[name].numpy().tobytes()


def test_gradients_lead_to_what_was_given(net):
    x = am.rand(5, 3)
    params = dict(net.named_parameters())
    net.eval()
    grads = am.grad(lambda p: am.functional_call(net, p, x).sum())(params)
    net(x).sum().backward()
    for name, p in params.items():
        assert np.array_equal(grads[name].numpy(), p.grad.numpy()), name
    leaf = am.zeros(4, requires_grad=True)
    am.functional_call(net, {"first.bias": leaf}, x).sum().backward()
    assert leaf.grad is not None


def test_names_nest_and_tie(net):
    x = am.rand(5, 3)
    net.eval()
    weight = am.rand(4, 4)
    one = am.functional_call(net, {"third.weight": weight}, x)
    other = am.functional_call(net, {"second": {"weight": weight}}, x)
    both = am.functional_call(net, {"third.weight": weight, "second.weight": weight}, x)
    assert one.numpy().tobytes() == other.numpy().tobytes() == both.numpy().tobytes()
    assert not np.array_equal(one.numpy(), net(x).numpy())

    class Outer(nn.Module):
        def forward(self, x):
            return am.functional_call(net, {"first.bias": am.zeros(4)}, x)

    assert np.array_equal(
        am.functional_call(net, {"first.bias": am.ones(4)}, x).numpy()
        - am.functional_call(net, {"first.bias": am.ones(4)}, x).numpy(), np.zeros((5, 4))
    )  # fmt: skip
    inside = am.functional_call(Outer(), {}, x)
    assert inside.numpy().tobytes() == Outer()(x).numpy().tobytes()


def test_jitted_training_with_new_buffers_is_the_lazy_one(net):
    x, y = am.rand(16, 3), am.rand(16, 4)
    calls = []

    def step(params, buffers, x, y):
        calls.append(1)

        def loss(params):
            out, new = am.functional_call(net, (params, buffers), x, return_buffers=True)
            return ((out - y) ** 2).mean(), new

        (value, new), grads = am.value_and_grad(loss, has_aux=True)(params)
        return value, am.tree.map(lambda p, g: p - 0.1 * g, params, grads), new

    start = state_of(net)
    found = []
    for run in (step, am.jit(step)):
        params = {k: p.detach() for k, p in net.named_parameters()}
        buffers = dict(net.named_buffers())
        for _ in range(3):
            value, params, buffers = run(params, buffers, x, y)
        found.append((value, params, buffers))
    flat = [[t.numpy().tobytes() for t in am.tree.leaves(result)] for result in found]
    assert flat[0] == flat[1]
    assert len(calls) == 3 + 1  # the module's own buffers or others
    assert state_of(net) == start


def test_a_module_that_assigns_its_buffers():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", am.zeros(()))

        def forward(self, x):
            self.count = self.count + 1
            return x * self.count

    counter = Counter()
    own = counter.count
    given = {"count": am.tensor(4.0)}
    assert am.functional_call(counter, given, am.tensor(2.0)).item() == 10
    assert given["count"].item() == 5
    assert counter.count is own
    assert own.item() == 0
    out, new = am.functional_call(counter, given, am.tensor(2.0), return_buffers=True)
    assert (out.item(), new["count"].item(), given["count"].item()) == (12, 6, 5)


def test_stacks(net):
    nets = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(4)]
    params, buffers = am.stack_modules(nets)
    assert params.keys() == dict(nets[0].named_parameters()).keys()
    for number, one in enumerate(nets):
        for name, p in one.named_parameters():
            assert np.array_equal(params[name][number].numpy(), p.numpy())
    assert params["0.weight"].is_leaf
    assert params["0.weight"].requires_grad
    assert buffers["1.num_batches_tracked"].shape == (4,)
    assert buffers["1.num_batches_tracked"].dtype is am.int64
    assert am.func.stack_module_state(nets)[0].keys() == params.keys()


@pytest.mark.parametrize(
    ("modules", "error", "says"),
    [
        ([], ArgumentError, "got no modules"),
        (nn.Linear(1, 1), ArgumentError, "got Linear; need a list of modules"),
        ([nn.Linear(2, 1), nn.ReLU()], ArgumentError, "number 0 is Linear, number 1 ReLU"),
        ([nn.Linear(2, 1), nn.Linear(2, 1).eval()], ArgumentError, "number 1 training=False"),
        ([nn.Linear(2, 1), nn.Linear(3, 1)], ShapeError, r"weight is \(1, 2\) in number 0 and \(1"),
        ([nn.Linear(2, 1), nn.Linear(2, 1, bias=False)], ArgumentError, "number 1 has not"),
        ([nn.Linear(2, 1), 3], ArgumentError, "number 1: got int; need an nn.Module"),
        ([nn.LazyLinear(2)], ArgumentError, "weight has no shape yet"),
    ],
)  # fmt: skip
def test_stacks_that_do_not_fit(modules, error, says):
    with pytest.raises(error, match=f"^stack_modules.*{says}"):
        am.stack_modules(modules)


@pytest.mark.parametrize(
    ("params", "keywords", "says"),
    [
        ({"first.wieght": am.zeros(4, 3)}, {}, "no tensor 'first.wieght'.*'first.weight'"),
        (({"first.bias": am.zeros(4)}, {"first.bias": am.zeros(4)}), {}, "is given twice"),
        ({"second.weight": am.zeros(4, 4), "third.weight": am.zeros(4, 4)}, {},
         "second.weight, third.weight are one tensor"),
        ({"first.bias": am.zeros(4)}, {"strict": True}, "no first.weight, .* given for Net"),
        ([am.zeros(4)], {}, "params is Tensor; need a dict"),
        (am.zeros(4), {}, "params is Tensor; need a dict"),
    ],
)  # fmt: skip
def test_misuse_leaves_the_module_as_it_was(net, params, keywords, says):
    before = state_of(net)
    with pytest.raises(ArgumentError, match=f"^functional_call: .*{says}"):
        am.functional_call(net, params, am.rand(5, 3), **keywords)
    with pytest.raises(ArgumentError, match=r"got int; need an nn\.Module"):
        am.functional_call(3, {}, am.rand(5, 3))
    with pytest.raises(UnknownNameError, match="Net: unknown keyword 'no_such'"):
        am.functional_call(net, {}, am.rand(5, 3), no_such=1)
    assert state_of(net) == before


def test_an_error_inside_leaves_the_module_as_it_was(net):
    before, own = state_of(net), dict(net.named_parameters())
    with pytest.raises(ShapeError, match="first"):
        am.functional_call(net, {"first.weight": am.zeros(4, 7)}, am.rand(5, 3))
    jitted = am.jit(lambda p, x: am.functional_call(net, p, x))
    with pytest.raises(ShapeError, match="first"):
        jitted({"first.weight": am.zeros(4, 7)}, am.rand(5, 3))
    assert state_of(net) == before
    assert all(tensor is own[name] for name, tensor in net.named_parameters())
    assert not lending._borrowers
    assert net(am.rand(5, 3)).shape == (5, 4)


def test_another_thread_is_told(net):
    inside, go_on, problems = threading.Event(), threading.Event(), []

    def wait(module, args, result):
        inside.set()
        go_on.wait(10)

    hook = net.first.register_forward_hook(wait)
    params = {"first.bias": am.zeros(4)}
    thread = threading.Thread(target=lambda: am.functional_call(net, params, am.rand(5, 3)))
    thread.start()
    assert inside.wait(10)
    hook.remove()
    with pytest.raises(ArgumentError, match="another thread is calling this module"):
        am.functional_call(net, params, am.rand(5, 3))
    go_on.set()
    thread.join()
    assert not problems
    assert am.functional_call(net, params, am.rand(5, 3)).shape == (5, 4)


def test_an_ensemble_by_vmap_is_a_loop_over_its_members():
    am.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
            for _ in range(4)]  # fmt: skip
    x = am.evaluate(am.rand(6, 3))
    state = am.stack_modules(nets)
    call = lambda state: am.functional_call(nets[0], state, x, return_buffers=True)
    own = state_of(nets[0])
    out, new = am.vmap(call)(state)
    assert state_of(nets[0]) == own
    for number, one in enumerate(nets):
        assert out[number].numpy().tobytes() == one(x).numpy().tobytes()
        for name, buffer in one.named_buffers():
            assert new[name][number].numpy().tobytes() == buffer.numpy().tobytes()


def test_per_example_gradients_of_a_module(net):
    net.eval()
    x, y = am.evaluate(am.rand(5, 3), am.rand(5, 4))
    params = dict(net.named_parameters())

    def loss(params, x, y):
        return ((am.functional_call(net, params, x[None]) - y) ** 2).sum()

    each = am.vmap(am.grad(loss), in_axes=(None, 0, 0))(params, x, y)
    for row in range(5):
        one = am.grad(loss)(params, x[row], y[row])
        for name, gradient in one.items():
            assert each[name][row].numpy().tobytes() == gradient.numpy().tobytes(), name


def test_modules_as_trees_under_vmap(net):
    net.eval()
    x = am.evaluate(am.rand(5, 3))
    nets = [net, am.tree.map(lambda t: t * 2, net)]
    stacked = am.tree.map(lambda *ts: am.stack(ts), *nets)
    out = am.vmap(lambda net, x: net(x), in_axes=(0, None))(stacked, x)
    for number, one in enumerate(nets):
        assert out[number].numpy().tobytes() == one(x).numpy().tobytes()
    grads = am.vmap(am.grad(lambda net, x: net(x[None]).sum()), in_axes=(None, 0))(net, x)
    one = am.grad(lambda net, x: net(x[None]).sum())(net, x[2])
    found = zip(grads.named_parameters(), one.named_parameters(), strict=True)
    for (name, each), (_, single) in found:
        assert each[2].numpy().tobytes() == single.numpy().tobytes(), name


def test_what_is_no_module():
    x = am.ones(3)
    for wrong, message in (
        (lambda: am.functional_call(None, {}, x), "functional_call: got NoneType; need an nn.Mod"),
        (lambda: am.functional_call(nn.Linear, {}, x), r"got the class Linear; .* Linear\(...\)"),
        (lambda: am.stack_modules(None), "stack_modules: got NoneType; need a list of modules"),
        (lambda: am.stack_modules([nn.Linear]), "number 0: got the class Linear; need a module"),
    ):
        with pytest.raises(ArgumentError, match=message):
            wrong()
