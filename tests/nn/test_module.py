"""Module: attributes, the tree, state in and out, errors that name their layer."""

import copy

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x):
        return self.norm(self.linear(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(Block(4), nn.ReLU(), Block(4))
        self.scale = nn.Parameter(am.ones(1))
        self.register_buffer("seen", am.tensor([0.0]))
        self.register_buffer("scratch", am.tensor([0.0]), persistent=False)

    def forward(self, x):
        return self.encoder(x) * self.scale


class TorchBlock(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = torch.nn.Linear(width, width)
        self.norm = torch.nn.BatchNorm1d(width)


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(TorchBlock(4), torch.nn.ReLU(), TorchBlock(4))
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)


def test_names_are_pytorchs():
    ours, theirs = Net(), TorchNet()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, method)()] == [n for n, _ in getattr(theirs, method)()]
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))


def test_repr_is_a_tree_like_pytorchs():
    theirs = repr(TorchNet()).replace("TorchBlock", "Block").replace("TorchNet", "Net")
    assert repr(Net()) == theirs.replace(", bias=True, t", ", t") or "track" in theirs


def test_state_travels_from_torch_and_back():
    theirs, ours = TorchNet(), Net()
    found = ours.load_state_dict(theirs.state_dict())
    assert (found.missing_keys, found.unexpected_keys) == ([], [])
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), theirs.state_dict()[key].numpy())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


def test_state_dict_is_a_snapshot():
    net = nn.Linear(2, 2)
    before = net.state_dict()
    saved = before["weight"].numpy()
    with am.no_grad():
        net.weight += 1
    np.testing.assert_array_equal(before["weight"].numpy(), saved)
    net.load_state_dict(before)
    np.testing.assert_array_equal(net.weight.numpy(), saved)
    assert net.weight.requires_grad
    assert not before["weight"].requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("scale"), "missing scale"),
        (lambda s: s.update(scala=s.pop("scale")), r"unexpected scala.*Did you mean 'scale'"),
        (lambda s: s.update(scale=np.ones(3)), r"scale is \(3,\) in the state and \(1,\)"),
        (lambda s: s.update(scale="text"), "need numbers"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    net = Net()
    before = {k: v.numpy() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    change(state)
    with pytest.raises((ValueError, TypeError), match=message) as found:
        net.load_state_dict(state)
    assert "Nothing was changed" in str(found.value)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


def test_lenient_loading():
    net = Net()
    found = net.load_state_dict({"scale": np.array([5.0]), "other": np.ones(2)}, strict=False)
    assert net.scale.item() == 5
    assert found.unexpected_keys == ["other"]
    assert "encoder.0.linear.weight" in found.missing_keys


def test_error_names_the_layer_by_its_path():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Net()

        def forward(self, x):
            return self.model(x)

    with pytest.raises(ValueError, match=r"Linear 'model\.encoder\.0\.linear': got 5 features; "
                       r"the layer has in_features=4; use nn\.Linear\(5, 4\)"):  # fmt: skip
        Outer()(am.ones(2, 5))
    net = Net()
    net.scale = nn.Parameter(am.ones(3))
    with pytest.raises(ValueError, match=r"shapes .* do not broadcast.*\[test_module.py:\d+\]$"):
        net(am.ones(2, 4))


def test_other_exceptions_get_a_note():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as found:
        nn.Sequential(nn.Identity(), nn.Sequential(Broken()))(am.ones(2))
    assert str(found.value) == "mine"
    assert found.value.__notes__ == ["in layer '1.0' (Broken)"]


def test_typos_are_answered():
    net = Net()
    with pytest.raises(AttributeError, match="Did you mean 'encoder'"):
        net.encodr
    with pytest.raises(AttributeError, match="Did you mean 'linear'"):
        net.encoder[0].liner
    assert not hasattr(net, "nothing_like_this")
    with pytest.raises(TypeError, match="Did you mean 'encoder'"):
        net.get_submodule("encodr.0")
    assert net.get_submodule("encoder.0.linear") is net.encoder[0].linear


def test_attributes_move_between_tables():
    net = nn.Module()
    net.x = nn.Linear(2, 2)
    net.x = nn.Parameter(am.ones(2))
    assert [n for n, _ in net.named_parameters()] == ["x"]
    with pytest.raises(ValueError, match=r"need nn\.Parameter"):
        net.x = am.ones(2)
    net.x = 3
    assert (net.x, list(net.parameters())) == (3, [])
    net.y = nn.Linear(2, 2)
    del net.y
    assert not hasattr(net, "y")


def test_a_class_that_forgets_super_init_works():
    class Forgetful(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(2, 3)

        def forward(self, x):
            return self.linear(x)

    assert Forgetful()(am.ones(1, 2)).shape == (1, 3)


def test_modes_freezing_and_gradients():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    net.encoder.requires_grad_(False)
    net(am.ones(2, 4)).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is not None] == ["scale"]
    net.zero_grad()
    assert net.scale.grad is None


def test_apply_visits_children_first_and_dtypes_change():
    net, visited = Net(), []
    assert net.apply(lambda m: visited.append(type(m).__name__)) is net
    assert visited[:2] == ["Linear", "BatchNorm1d"]
    assert visited[-1] == "Net"
    net.double()
    assert {p.dtype.name for p in net.parameters()} == {"float64"}
    assert net.encoder[0].norm.num_batches_tracked.dtype.name == "int64"
    assert net(am.ones(3, 4, dtype="float64")).dtype.name == "float64"


def test_shared_parameters_count_once():
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(net.parameters())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_deepcopy_is_independent():
    net = nn.Linear(2, 2)
    twin = copy.deepcopy(net)
    with am.no_grad():
        net.weight += 1
    assert (twin.weight.numpy() != net.weight.numpy()).all()
    assert twin.weight is twin._parameters["weight"]


def test_hooks_see_and_replace_results():
    net, seen = nn.Linear(2, 3), []
    hook = net.register_forward_hook(lambda m, args, out: seen.append(out.shape))
    net(am.ones(1, 2))
    hook.remove()
    net(am.ones(1, 2))
    assert seen == [(1, 3)]


def test_sequential_is_a_list():
    net = nn.Sequential([nn.Linear(2, 3), nn.ReLU()])
    net.append(nn.Linear(3, 1))
    assert (len(net), type(net[-1]).__name__, len(net[1:])) == (3, "Linear", 2)
    assert [n for n, _ in nn.Sequential({"a": nn.ReLU()}).named_children()] == ["a"]
    with pytest.raises(IndexError, match="index 3 of 3 modules"):
        net[3]
    for wrong, hint in [(nn.ReLU, "ReLU is a class"), (len, "is a function"), (3, "got int")]:
        with pytest.raises(ValueError, match=hint):
            nn.Sequential(wrong)


def test_module_list_is_found_by_parameters():
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    assert len(list(layers.parameters())) == 6
    assert layers[1] is list(layers)[1]


def test_a_key_that_is_like_no_other_is_told():
    layer = nn.Linear(1, 1)
    state = layer.state_dict() | {"zzzzz": am.ones(1)}
    with pytest.raises(ArgumentError, match="unexpected zzzzz; need"):
        layer.load_state_dict(state)


def test_a_missing_argument_names_the_layer_and_its_path():
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    net.forward = lambda x: net[0]()
    with pytest.raises(TypeError, match=r"Conv2d: missing .*'input'.*need Conv2d\(input\)"):
        net[0]()
    with pytest.raises(TypeError, match=r"Conv2d '0': missing a required argument: 'input'"):
        net(am.ones(1))
    with pytest.raises(TypeError, match=r"MultiheadAttention: missing .*'value'"):
        nn.MultiheadAttention(4, 2)(am.ones(1, 4), am.ones(1, 4))
