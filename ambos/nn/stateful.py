"""The state of a module, under PyTorch's names and with its places to override."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError
from ambos.nn import state
from ambos.nn.hookable import Hookable
from ambos.nn.making import settle

EXTRA = "_extra_state"  # how its key ends


class Stateful(Hookable):
    """Base of modules."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _transient: set[str]

    may_lack: ClassVar[tuple[str, ...]] = ()  # own tensors that older states do without
    _version: ClassVar[int] = 1  # handed to `_load_from_state_dict` with the state

    def get_extra_state(self) -> Any:
        """What a state holds of this module besides tensors: to be defined together with
        `set_extra_state`."""
        raise ArgumentError(
            f"{type(self).__name__}: has no extra state; need `def get_extra_state(self)`"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave. It is called once all tensors of a state were
        checked and assigned; an error gives these their numbers back, and hands
        modules that have taken theirs what they had before."""
        raise ArgumentError(
            f"{type(self).__name__}: has no extra state; need `def set_extra_state(self, state)`"
        )

    def state_dict(
        self, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers under PyTorch's names, put into `destination`, if there
        is one; the tensors are detached, unless `keep_vars`. Changed in place they change the
        module; else each is a snapshot."""
        settle(self)
        found: Any = destination
        if found is None:
            found = OrderedDict()
            found._metadata = OrderedDict()  # of each module, by its path
        note = {"version": self._version}
        if hasattr(found, "_metadata"):
            found._metadata[prefix[:-1]] = note
        self.called("state_pre", prefix, keep_vars)
        self._save_to_state_dict(found, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        self.called("state", found, prefix, note)
        replaced = self.called("state_replaced", found, prefix, note)
        return found if replaced is None else replaced

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put what is this module's own into a state; a module may override it."""
        for name, tensor in state.own(self):
            destination[prefix + name] = tensor if keep_vars else tensor.data
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    @checked
    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.Mismatch:
        """Take over the numbers of `state_dict` (tensors, NumPy arrays or torch tensors), and their
        dtypes as well with `assign`. Returns missing and unexpected keys.

        Errors: ArgumentError that names missing and unexpected keys and those nearest to them
            (unless not `strict`), and ShapeError for shapes that differ; the module is unchanged
            after an error.
        """
        return state.load(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[Any],
        unexpected_keys: list[Any],
        error_msgs: list[str],
    ) -> None:
        """Take what is this module's own out of a state; a module may override it.

        Under `load_state_dict` tensors are assigned once all modules were asked.
        """
        self.called("load_pre", state_dict, prefix, local_metadata, strict, missing_keys,
                    unexpected_keys, error_msgs)  # fmt: skip
        targets = dict(state.own(self))
        takes_more = type(self).set_extra_state is not Stateful.set_extra_state
        with state.loading(type(self).__name__) as plan:
            for name, target in targets.items():
                if prefix + name in state_dict:
                    plan.take(prefix + name, target, state_dict[prefix + name])
                elif strict and name not in self.may_lack:
                    missing_keys.append(prefix + name)
            if takes_more and prefix + EXTRA in state_dict:
                says = type(self).get_extra_state is not Stateful.get_extra_state
                plan.extras.append((self, state_dict[prefix + EXTRA], says))
            elif takes_more and strict:
                missing_keys.append(prefix + EXTRA)
        if strict:
            known = {*targets, EXTRA} if takes_more else {*targets}
            for key in state_dict:
                name, dot, _ = key.removeprefix(prefix).partition(".")
                if key.startswith(prefix) and name not in (self._modules if dot else known):
                    unexpected_keys.append(key)

    def after_load(self) -> None:
        """Called when a state was loaded; lazy layers take their sizes from it."""
