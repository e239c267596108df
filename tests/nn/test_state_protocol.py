"""What modules override or hook of their states: the same class over PyTorch and over ours."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

KITS = (torch, am)


def numbers(state: Any) -> dict[str, Any]:
    return {k: v.numpy().tolist() if hasattr(v, "numpy") else v for k, v in state.items()}


def counted(kit: Any) -> Any:
    class Counted(kit.nn.Linear):
        _version = 3

        def __init__(self) -> None:
            super().__init__(2, 1)
            self.count, self.versions = 0, []

        def get_extra_state(self) -> Any:
            return {"count": self.count}

        def set_extra_state(self, state: Any) -> None:
            self.count = state["count"]

        def _load_from_state_dict(
            self, state_dict: Any, prefix: str, note: Any, *rest: Any
        ) -> None:
            self.versions.append(note.get("version"))
            old = f"{prefix}w"
            if old in state_dict:
                state_dict[f"{prefix}weight"] = state_dict.pop(old)
            super()._load_from_state_dict(state_dict, prefix, note, *rest)

        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[f"{prefix}note"] = kit.ones(1)

    class Net(kit.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Counted()
            self.register_load_state_dict_pre_hook(self.forget)

        @staticmethod
        def forget(module: Any, state: Any, prefix: str, *rest: Any) -> None:
            state.pop(f"{prefix}inner.note", None)

    return Net()


def test_states_with_more_than_tensors() -> None:
    found = []
    for kit in KITS:
        net, other = counted(kit), counted(kit)
        net.inner.count = 7
        with kit.no_grad():
            net.inner.weight.fill_(2.0)
            net.inner.bias.fill_(1.0)
        state = net.state_dict()
        assert state._metadata["inner"] == {"version": 3}
        result = other.load_state_dict(state)
        assert other.inner.count == 7
        assert other.inner.weight.tolist() == [[2.0, 2.0]]
        renamed = {k.replace("weight", "w"): v for k, v in state.items()}
        other.load_state_dict(renamed)
        partial = {k: v for k, v in state.items() if "bias" in k} | {"x": kit.ones(1)}
        missing = other.load_state_dict(partial, strict=False)
        found.append((numbers(state), [*state], result, sorted(missing.missing_keys),
                      missing.unexpected_keys, other.inner.versions))  # fmt: skip
    assert found[0] == found[1]


def hooked(kit: Any, log: list[Any]) -> Any:
    net = kit.nn.Sequential(kit.nn.Linear(1, 1), kit.nn.BatchNorm1d(1))
    net.register_state_dict_pre_hook(lambda m, prefix, keep: log.append(("pre", prefix, keep)))
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: log.append(("pre", prefix, keep)))
    net._register_state_dict_hook(lambda m, state, prefix, note: {**state, "more": kit.ones(1)})
    net[1]._register_load_state_dict_pre_hook(
        lambda state, prefix, *rest: log.append(("load", prefix))
    )

    def excuse(module: Any, keys: Any) -> None:
        log.append((type(module).__name__, sorted(keys.missing_keys), keys.unexpected_keys[:]))
        keys.missing_keys.clear()
        keys.unexpected_keys.clear()

    net.register_load_state_dict_post_hook(excuse)
    return net


def test_hooks_of_states_as_in_torch() -> None:
    found = []
    for kit in KITS:
        log: list[Any] = []
        net = hooked(kit, log)
        state = net.state_dict(prefix="net.", keep_vars=True)
        assert state["net.0.weight"] is net[0].weight
        given: dict[str, Any] = {}
        target = net.state_dict(destination=given)
        assert [*given] == [*target][:-1]
        result = net.load_state_dict({"0.weight": kit.ones(1, 1), "other": kit.ones(1)})
        assert net[0].weight.item() == 1.0
        found.append((log, [*state], [*target], tuple(result)))
    assert found[0] == found[1]


def test_a_child_says_what_its_state_is() -> None:
    for kit in KITS:

        class Silent(kit.nn.Linear):
            def state_dict(self, *args: Any, **kwargs: Any) -> Any:
                return kwargs["destination"]

        assert [*kit.nn.Sequential(Silent(1, 1), kit.nn.Linear(1, 1)).state_dict()] == [
            "1.weight", "1.bias",
        ]  # fmt: skip


class Weighty(am.nn.Linear):
    """Its extra state is checked late."""

    def get_extra_state(self) -> Any:
        return 1

    def set_extra_state(self, state: Any) -> None:
        if state != 1:
            raise ValueError(f"state {state}")


def test_whatever_goes_wrong_no_tensor_is_changed() -> None:
    net = am.nn.Sequential(Weighty(1, 1), am.nn.Linear(1, 1))
    before = numbers(net.state_dict())
    good = {k: v if k.endswith("_extra_state") else v + 1 for k, v in net.state_dict().items()}
    with pytest.raises(ValueError, match="state 2"):
        net.load_state_dict({**good, "0._extra_state": 2})
    with pytest.raises(ArgumentError, match=r"missing 0\._extra_state"):
        net.load_state_dict({k: v for k, v in good.items() if k != "0._extra_state"})
    with pytest.raises(ShapeError, match=r"1\.bias is \(2,\)"):
        net.load_state_dict({**good, "1.bias": am.ones(2)})
    with pytest.raises(ArgumentError, match="unexpected 3, x"):
        net.load_state_dict({**good, 3: am.ones(1), "x": am.ones(1)})
    hook = net.register_load_state_dict_post_hook(lambda m, keys: None)
    with pytest.raises(ArgumentError, match="unexpected x"):
        net.load_state_dict({**good, "x": am.ones(1)})
    hook.remove()
    hook = net.register_load_state_dict_post_hook(lambda m, keys: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        net.load_state_dict(good)
    hook.remove()
    assert numbers(net.state_dict()) == before
    with pytest.raises(ArgumentError, match="need `def get_extra_state"):
        net.get_extra_state()
    net.load_state_dict(good)
    assert net[1].bias.item() == before["1.bias"][0] + 1


def test_a_load_of_one_module_by_hand() -> None:
    layer, twin = am.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    for kit, net in ((am, layer), (torch, twin)):
        lists: tuple[list[str], list[str], list[str]] = ([], [], [])
        net._load_from_state_dict({"a.weight": kit.ones(1, 2), "a.x": kit.ones(1)}, "a.", {}, True,
                                  *lists)  # fmt: skip
        assert net.weight.tolist() == [[1.0, 1.0]]
        assert lists == (["a.bias"], ["a.x"], [])


def test_a_number_in_a_row_and_a_pickled_state() -> None:
    norm = am.nn.BatchNorm1d(2)
    state = pickle.loads(pickle.dumps(norm.state_dict()))
    assert state._metadata[""] == {"version": norm._version}
    state["num_batches_tracked"] = np.array([5])
    norm.load_state_dict(state)
    assert norm.num_batches_tracked.shape == ()
    assert norm.num_batches_tracked.item() == 5


class Counted(am.nn.Linear):
    """Has a number besides its tensors, and does not take all numbers."""

    count = 0

    def get_extra_state(self) -> Any:
        return {"count": self.count}

    def set_extra_state(self, state: Any) -> None:
        self.count = state["count"]
        if self.count > 8:
            raise ValueError("too many")


def test_what_a_module_has_besides_tensors_is_given_back_as_well() -> None:
    net = am.nn.Sequential(Counted(2, 2), Counted(2, 2))
    net[0].count, net[1].count = 1, 2
    state = net.state_dict()
    before = {name: np.array(state[name]) for name in state if "extra" not in name}
    wrong = {name: value + 1 for name, value in before.items()}
    wrong |= {"0._extra_state": {"count": 7}, "1._extra_state": {"count": 9}}
    with pytest.raises(ValueError, match="too many"):
        net.load_state_dict(wrong)
    assert (net[0].count, net[1].count) == (1, 2)
    for name, value in before.items():
        np.testing.assert_array_equal(net.state_dict()[name].numpy(), value)
