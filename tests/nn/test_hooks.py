"""Hooks against PyTorch's, call by call; inside jit, grad and vmap; `am.capture`."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn
from ambos.core.errors import (
    ArgumentError,
    ArgumentTypeError,
    NameTakenError,
    ShapeError,
    UnknownNameError,
)


def pair():
    """A small network of both sides with the same numbers."""
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    ours = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def shown(value):
    """Arrays of either side, to be compared."""
    if isinstance(value, (tuple, list)):
        return [shown(v) for v in value]
    return None if value is None else np.asarray(value.detach().numpy()).round(4).tolist()


X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def sides():
    """Network and input of both."""
    theirs, ours = pair()
    return (theirs, torch.tensor(X)), (ours, am.tensor(X))


def forward_calls(net, x):
    """What hooks around the first layer note, and the result."""
    calls, first = [], net[0]
    first.register_forward_pre_hook(lambda m, args: (calls.append("pre"), (args[0] * 2,))[1])
    first.register_forward_pre_hook(lambda m, args: calls.append("front"), prepend=True)
    first.register_forward_pre_hook(
        lambda m, args, kwargs: (calls.append("keywords"), ((args[0] + 1,), kwargs))[1],
        with_kwargs=True,
    )
    first.register_forward_hook(lambda m, args, y: (calls.append("after"), y * 3)[1])
    first.register_forward_hook(
        lambda m, args, kwargs, y: calls.append(f"last {sorted(kwargs)}"), with_kwargs=True
    )
    handle = first.register_forward_hook(lambda m, args, y: calls.append("early"), prepend=True)
    with handle:
        result = shown(net(x))
    net(x)
    return calls, result


def test_forward_hooks_in_their_order():
    theirs, ours = (forward_calls(*side) for side in sides())
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], atol=2e-4)


def gradients_seen(net, x):
    """What hooks around the gradients of all layers see, and what comes out."""
    seen = []
    x.requires_grad_()
    for layer in net:
        layer.register_full_backward_pre_hook(lambda m, g: seen.append(shown(g)))
        layer.register_full_backward_hook(lambda m, i, o: seen.extend([shown(i), shown(o)]))
    net[1].register_full_backward_hook(lambda m, i, o: (i[0] * 10,))
    net(x).sum().backward()
    return [*seen, shown([x.grad]), shown([net[0].weight.grad])]


def test_backward_hooks_see_and_replace_gradients():
    theirs, ours = (gradients_seen(*side) for side in sides())
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine[0], other[0], atol=2e-4)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_backward_hooks_without_gradients_of_inputs():
    for net, x in sides():
        seen = []
        net[0].register_full_backward_hook(lambda m, i, o, seen=seen: seen.append(i))
        net(x).sum().backward()
        assert seen == [(None,)]


def test_hooks_under_transforms():
    _, net = pair()
    x = am.tensor(X)
    plain, doubled = net(x).numpy(), None
    net[2].register_forward_hook(lambda m, args, y: y * 2)
    net[0].register_full_backward_hook(lambda m, i, o: (i[0] * 10,))
    doubled = net(x)
    np.testing.assert_allclose(doubled.numpy(), plain * 2, rtol=1e-6)
    jitted = am.jit(lambda x: net(x))
    assert jitted(x).numpy().tobytes() == doubled.numpy().tobytes()
    assert am.vmap(net)(x).numpy().tobytes() == doubled.numpy().tobytes()
    slope = am.grad(lambda x: net(x).sum())
    found = slope(x).numpy()
    assert am.jit(slope)(x).numpy().tobytes() == found.tobytes()
    one_by_one = am.vmap(am.grad(lambda x: net(x).sum()))(x).numpy()
    np.testing.assert_allclose(one_by_one, found, rtol=1e-5)
    net[0]._hooks.clear()
    nn.Module._changed(net)
    np.testing.assert_allclose(slope(x).numpy() * 10, found, rtol=1e-5)


def test_hooks_of_every_module():
    _, net = pair()
    names = []
    with nn.register_module_forward_hook(lambda m, args, y: names.append(type(m).__name__)):
        jitted = am.jit(lambda x: net(x))
        jitted(am.tensor(X))
    assert names == ["Linear", "Tanh", "Linear", "Sequential"]
    jitted(am.tensor(X))
    assert len(names) == 4


def test_a_hook_that_is_always_called():
    layer, seen = nn.Linear(3, 4), []
    layer.register_forward_hook(lambda m, args, y: seen.append(y), always_call=True)
    layer.register_forward_hook(lambda m, args, y: 1 / 0, always_call=True)
    with pytest.raises(ValueError, match="got 2 features") as error:
        layer(am.ones(2, 2))
    assert seen == [None]
    assert "a forward hook failed: ZeroDivisionError" in error.value.__notes__[0]
    with pytest.raises(ArgumentTypeError, match="need a function"):
        layer.register_forward_hook(3)


def test_capture_by_name_also_jitted():
    _, net = pair()
    x = am.tensor(X)
    result, inside = am.capture(net, "0", "[12]")(x)
    assert [*inside] == ["0", "1", "2"]
    assert inside["2"] is result
    fast = am.jit(am.capture(net, "1"))
    for _ in range(2):
        again, found = fast(x)
        assert found["1"].numpy().tobytes() == inside["1"].numpy().tobytes()
    assert fast(x)[0].numpy().tobytes() == result.numpy().tobytes() == again.numpy().tobytes()
    assert am.vmap(am.capture(net, "1"))(x)[1]["1"].shape == (2, 4)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.ReLU()

        def forward(self, x):
            return self.layer(self.layer(x) - 1)

    assert [*am.capture(Twice())(x)[1]] == ["layer", "layer:1"]
    with pytest.raises(ArgumentError, match="no module of Sequential is called 'layer3'"):
        am.capture(net, "layer3")


@pytest.mark.parametrize("register", ["full_backward_hook", "full_backward_pre_hook"])
def test_a_gradient_of_another_shape_is_refused(register):
    layer = nn.Linear(3, 2)
    getattr(layer, f"register_{register}")(lambda *_: (am.ones(5),))
    x = am.ones(4, 3, requires_grad=True)
    with pytest.raises(ShapeError, match=r"hook of Linear: returned \(5,\) for gradient 0"):
        layer(x).sum().backward()


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.enc = nn.Sequential(layer, nn.ReLU())

    def forward(self, *args, **kwargs):
        return self.enc[0](*args, **kwargs)


def test_arguments_that_do_not_fit_a_module_with_hooks():
    layer = nn.Bilinear(3, 3, 1)
    layer.register_forward_hook(lambda module, args, result: None)
    with pytest.raises(ArgumentTypeError, match=r"Bilinear: .*'input2'; need Bilinear\(input1, "):
        layer(X)
    with pytest.raises(UnknownNameError, match=r"Bilinear 'enc.0': .*'input3'.*'input[12]'\?"):
        Net(layer)(X, input3=X)
    broken = nn.Linear(3, 4)
    broken.forward = lambda x: len(3)
    broken.register_forward_hook(lambda module, args, result: None)
    with pytest.raises(TypeError, match=r"object of type 'int' has no len"):  # not of the call
        broken(X)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (lambda: (am.ones(5),), r"hook of Linear 'enc.0': returned \(5,\) for gradient 0"),
        (lambda: (None, None), r"hook of Linear 'enc.0': returned 2 gradients; need None or 1"),
        (lambda: 1 / 0, "division by zero"),
    ],
)
@pytest.mark.parametrize("register", ["full_backward_hook", "full_backward_pre_hook"])
def test_errors_of_backward_hooks_name_the_modules_path(register, found, says):
    net, x = Net(nn.Linear(3, 2)), am.ones(4, 3, requires_grad=True)
    getattr(net.enc[0], f"register_{register}")(lambda *_: found())
    result = net(x).sum()
    with pytest.raises((ShapeError, ArgumentTypeError, ZeroDivisionError), match=says) as error:
        result.backward()
    if error.type is ZeroDivisionError:
        assert error.value.__notes__ == ["in a backward hook of Linear 'enc.0'"]


@pytest.mark.parametrize("name", ["weight", "spare", "child", "width", "forward", "scaled"])
def test_what_is_there_is_not_replaced_by_something_else(name):
    def filled(module, made):
        module.register_buffer("spare", made)
        module.add_module("child", type(module)(1, 1))
        module.width = 3
        module.register_parameter("scaled", type(module.weight)(made))
        return module

    ours, theirs = filled(nn.Linear(2, 3), am.ones(2)), filled(torch.nn.Linear(2, 3), torch.ones(2))
    nn.utils.parametrize.register_parametrization(ours, "scaled", nn.Identity())
    torch.nn.utils.parametrize.register_parametrization(theirs, "scaled", torch.nn.Identity())
    taken = {}
    for module, one, part in (ours, am.zeros(1), nn.ReLU), (theirs, torch.zeros(1), torch.nn.ReLU):
        before = [*module.state_dict()]
        refused = taken[module is ours] = []
        for number, (register, value) in enumerate([
            (module.register_buffer, one), (module.add_module, part()),
            (module.register_parameter, type(module.weight)(one)),
        ]):  # fmt: skip
            try:
                register(name, value)
            except KeyError as error:
                refused.append(number)
                told = error
        assert name not in before or [*module.state_dict()] == before
        if module is ours:
            assert isinstance(told, NameTakenError)
            assert f"Linear.{name}: is a" in str(told)
    assert taken[True] == taken[False]
    assert taken[True]
