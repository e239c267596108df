"""State of modules: names, what is loaded and how it fails, copies, dtypes."""

import copy
import pickle

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, DTypeError, UnknownNameError


def shared(kit, tensor):
    """The same layer twice, and a buffer."""
    net = kit.Sequential(kit.Linear(2, 2), kit.ReLU())
    net.add_module("again", net[0])
    net.register_buffer("count", tensor([1.0]), persistent=False)
    return net


@pytest.mark.parametrize("settings", [{}, {"remove_duplicate": False}, {"prefix": "net"}])
def test_names_are_pytorchs(settings):
    ours, theirs = shared(nn, am.tensor), shared(torch.nn, torch.tensor)
    for look in ("named_modules", "named_parameters", "named_buffers"):
        mine = [name for name, _ in getattr(ours, look)(**settings)]
        assert mine == [name for name, _ in getattr(theirs, look)(**settings)]
    assert [*dict(ours.named_parameters(recurse=False))] == []
    assert [*ours.state_dict(prefix="a.")] == [*theirs.state_dict(prefix="a.")]
    assert len([*ours.children()]) == len([*theirs.children()]) == 2


def test_an_empty_list_of_modules_is_a_module_as_well():
    net = nn.Sequential(nn.Identity())
    net[0].layers = nn.ModuleList()
    assert [name for name, _ in net.named_modules()] == ["", "0", "0.layers"]


def test_parts_by_path():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert net.get_parameter("0.weight") is net[0].weight
    assert net.get_buffer("1.running_mean") is net[1].running_mean
    net.set_submodule("0", nn.Linear(4, 3))
    assert net(am.ones(2, 4)).shape == (2, 3)
    with pytest.raises(UnknownNameError, match=r"no parameter '0.wieght'.*Did you mean 'weight'"):
        net.get_parameter("0.wieght")
    with pytest.raises(UnknownNameError, match="no module '2'"):
        net.set_submodule("2", nn.ReLU())


def test_a_state_that_does_not_fit_is_reported_with_the_nearest_keys():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = net.state_dict()
    given = {**before, "0.wieght": before["0.weight"]}
    del given["0.weight"]
    with pytest.raises(ArgumentError, match=r"missing 0.weight; unexpected 0.wieght.*Did you mean "
                                            r"'0.weight' for '0.wieght'\? Nothing"):  # fmt: skip
        net.load_state_dict(given)
    wrapped = {f"module.{key}": value for key, value in before.items()}
    with pytest.raises(ArgumentError, match=r"Take 'module.' off the keys"):
        net.load_state_dict(wrapped)
    missing, unexpected = net.load_state_dict(given, strict=False)
    assert (missing, unexpected) == (["0.weight"], ["0.wieght"])
    assert repr(net.load_state_dict(before)) == "<All keys matched successfully>"


def test_assign_takes_the_dtype_and_states_without_a_count_are_taken():
    net = nn.BatchNorm1d(2)
    state = {k: v.numpy().astype(np.float64) for k, v in net.state_dict().items()}
    del state["num_batches_tracked"]
    optimizer_holds = net.weight
    net.load_state_dict(state)
    assert net.weight.dtype == am.float32
    net.load_state_dict(state, assign=True)
    assert net.weight is optimizer_holds
    assert net.weight.dtype == am.float64
    assert net.half().running_var.dtype == am.float16
    assert net.bfloat16().weight.dtype == am.bfloat16
    assert net.num_batches_tracked.dtype == am.int64


def test_hooks_of_states():
    net = nn.Sequential(nn.Linear(2, 1))
    net[0].register_state_dict_post_hook(
        lambda m, state, prefix, _: state.update({f"{prefix}w": state.pop(f"{prefix}weight")})
    )
    net[0].register_load_state_dict_pre_hook(
        lambda m, state, prefix, *_: state.update({f"{prefix}weight": state.pop(f"{prefix}w")})
    )
    seen = []
    net.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys.missing_keys))
    state = net.state_dict()
    assert [*state] == ["0.bias", "0.w"]
    net.load_state_dict(state)
    assert seen == [[]]
    assert [*state] == ["0.bias", "0.w"]


def test_copies_are_independent():
    net = nn.TransformerEncoderLayer(4, 2, 8).eval()
    x = am.rand(3, 1, 4)
    expected = net(x).numpy()
    copies = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    with am.no_grad():
        net.linear1.bias.fill_(100.0)
    for other in copies:
        np.testing.assert_array_equal(other(x).numpy(), expected)
        assert repr(other) == repr(net)
        assert isinstance(other.linear1.weight, nn.Parameter)
        assert other.linear1.weight.requires_grad


def test_buffers_and_parameters_by_assignment():
    net = nn.Module()
    net.mean, net.seen = nn.Buffer(am.ones(2)), nn.Buffer(am.zeros(1), persistent=False)
    assert [*dict(net.named_buffers())] == ["mean", "seen"]
    assert [*net.state_dict()] == ["mean"]
    layers = nn.ModuleDict({"a": nn.Linear(2, 3)})
    layers["b"] = nn.ReLU()
    assert [*layers.state_dict()] == ["a.weight", "a.bias"]
    with pytest.raises(UnknownNameError, match="no module 'c'"):
        layers["c"]
    row = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    row.insert(1, nn.Tanh())
    row += [nn.Sigmoid()]
    assert [type(m).__name__ for m in row] == ["Linear", "Tanh", "ReLU", "Sigmoid"]
    assert type(row.pop(1)).__name__ == "Tanh"
    del row[0]
    row[0] = nn.ELU()
    assert [name for name, _ in row.named_children()] == ["0", "1"]
    assert [type(m).__name__ for m in row.__add__([nn.ReLU()])] == ["ELU", "Sigmoid", "ReLU"]
    both = nn.ParameterList([am.ones(2), am.ones(3)]), nn.ParameterDict({"a": am.ones(2)})
    assert [*both[0].state_dict(), *both[1].state_dict()] == ["0", "1", "a"]
    assert repr(both[1]) == ("ParameterDict(\n  (a): Parameter containing: [float32 of size 2]\n)")


def test_errors_name_the_path_of_the_layer_and_the_fix():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.BatchNorm2d(8)))
    with pytest.raises(ValueError, match=r"BatchNorm2d '2.0': got 4 channels.*BatchNorm2d\(4\)"):
        net(am.ones(1, 3, 5, 5))
    with pytest.raises(ValueError, match=r"MultiheadAttention: embed_dim is 5 for 2 heads"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(TypeError, match=r"unknown keyword 'negative_slop'.*'negative_slope'"):
        nn.LeakyReLU(negative_slop=0.1)


def test_a_state_of_another_kind_changes_nothing():
    net = nn.Sequential(nn.Linear(1, 1))
    before = net[0].weight.item()
    with pytest.raises(DTypeError, match=r"0\.bias is complex128.*Nothing was"):
        net.load_state_dict({"0.weight": [[9.0]], "0.bias": [1j]})
    assert net[0].weight.item() == before


@pytest.mark.parametrize("averaged", [{}, {"avg_fn": nn.utils.swa_utils.get_ema_avg_fn(0.5)}])
def test_averages_are_copied_by_pickle(averaged):
    average = nn.utils.swa_utils.AveragedModel(nn.Linear(1, 1), **averaged)
    copied = pickle.loads(pickle.dumps(average))
    net = nn.Linear(1, 1)
    for model in (average, copied):
        model.update_parameters(net)
        model.update_parameters(nn.Linear(1, 1).requires_grad_(False))
    assert copied.n_averaged.item() == 2


def test_only_floating_dtypes_convert_a_module():
    net = nn.Linear(2, 1)
    for dtype in ("int32", "bool", int, am.int64):
        with pytest.raises(DTypeError, match=r"Linear\.to: got .*need a floating dtype"):
            net.to(dtype)
    for stateless in (net, nn.ReLU()):
        with pytest.raises(ArgumentError, match=r"unknown keyword 'dtyp'.*'dtype'"):
            stateless.to(dtyp="float16")
        with pytest.raises(DTypeError, match="flot32"):
            stateless.to("flot32")
    assert net.weight.dtype is am.float32
    assert net.weight.requires_grad
    assert net.to("cpu", am.float64, non_blocking=True).weight.dtype is am.float64
    assert net.to(am.ones(1)).to(device="cpu").weight.dtype is am.float32


@pytest.mark.parametrize(
    ("register", "value"),
    [("add_module", "abc"), ("register_parameter", am.ones(2)), ("register_buffer", np.ones(2))],
)
def test_what_is_registered_has_the_right_kind(register, value):
    net = nn.Linear(2, 1)
    with pytest.raises(ArgumentError, match=r"Linear\.bias: got \w+; need"):
        getattr(net, register)("bias", value)
    assert [*net.state_dict()] == ["weight", "bias"]


def test_a_merged_adapter_is_saved_without_being_merged():
    net, other = (nn.lora.adapt(nn.Sequential(nn.Linear(4, 4)), "0", rank=2) for _ in range(2))
    nn.init.normal_(net[0].lora_B.weight)
    x = am.rand(3, 4)
    other.load_state_dict(nn.lora.merge(net).state_dict())
    np.testing.assert_allclose(other(x).detach().numpy(), net(x).detach().numpy(), atol=1e-5)
    with pytest.raises(ArgumentError, match=r"adapter '0' is merged.*unmerge"):
        net.load_state_dict(other.state_dict())
    with pytest.raises(ArgumentError, match="adapter already"):
        nn.lora.adapt(net, "0")
