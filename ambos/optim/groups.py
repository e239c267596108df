"""Which parameters are trained, with which settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, ClassVar

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, UnknownNameError, suggest
from ambos.optim.settings import (
    EXTRAS,
    LIMITS,
    Group,
    Limit,
    listed,
    names_of,
    plain,
    rate_of,
    refuse,
)
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import makeup

QUIET = ("maximize", "foreach", "capturable", "differentiable", "fused")


class Grouped(metaclass=Checked):
    """Parameter groups: lists of parameters that share their settings."""

    limits: ClassVar[Mapping[str, Limit]] = LIMITS

    def __init__(self, params: Iterable[Any] | None, defaults: Group) -> None:
        self.defaults = defaults = plain(defaults)
        self.param_groups: list[Group] = []
        self.check(defaults)
        if params is not None:
            self.attach(params)

    def attach(self, params: Iterable[Any]) -> None:
        """Take charge of parameters: tensors, (name, tensor) pairs, or group dictionaries."""
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise ArgumentError(f"{name}: params is one tensor; need a list, for example [weight]")
        if hasattr(params, "parameters"):
            raise ArgumentError(
                f"{name}: params is a {type(params).__name__}; need its parameters: pass "
                "module.parameters()"
            )
        if not isinstance(params, Iterable):
            raise ArgumentError(f"{name}: params is {type(params).__name__}; need a list of "
                                "tensors, for example model.parameters()")  # fmt: skip
        entries = list(params)
        if not entries:
            raise ArgumentError(
                f"{name}: got no parameters; need some, for example model.parameters()"
            )
        if all(isinstance(entry, Mapping) for entry in entries):
            for group in entries:
                self.add_param_group(group)
        else:
            self.add_param_group({"params": entries})

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Take charge of more parameters, with settings of their own.

        Errors: ArgumentError for what are no parameters, and for one that is there already;
            UnknownNameError for a misspelt setting.
        """
        name = type(self).__name__
        if not isinstance(param_group, Mapping):
            raise ArgumentError(f"{name}: a parameter group is {type(param_group).__name__}; need "
                                "a dictionary: {'params': [weight], 'lr': 0.1}")  # fmt: skip
        for key in param_group:
            if key != "params" and key not in self.defaults and key not in EXTRAS:
                raise UnknownNameError(f"{name}: unknown setting {key!r} in a parameter group; "
                                       f"known: {', '.join(self.defaults)}"
                                       f"{suggest(key, self.defaults)}")  # fmt: skip
        if param_group.get("params") is None:
            raise ArgumentError(f"{name}: a parameter group has no 'params'; need a list of them")
        group = dict(param_group)
        if not isinstance(group["params"], Tensor):
            group["params"] = list(group["params"])
        params, names = listed(group), names_of(group)
        self._refuse_strangers(params, names or [f"{n} of this group" for n in range(len(params))])
        given = {key: value for key, value in group.items() if key != "params"}
        if names is not None:
            given.setdefault("param_names", names)
        settings = plain({**self.defaults, **given})
        self.check(settings)
        self.admit(params)
        makeup.version += 1
        self.param_groups.append({"params": params, **settings})

    def _refuse_strangers(self, params: list[Any], names: list[str]) -> None:
        name = type(self).__name__
        known = {id(p) for old in self.param_groups for p in old["params"]}
        for place, parameter in zip(names, params, strict=True):
            if not isinstance(parameter, Tensor):
                raise ArgumentError(f"{name}: got {type(parameter).__name__} as a parameter; "
                                    "need tensors, for example model.parameters()")  # fmt: skip
            if id(parameter) in known:
                raise ArgumentError(f"{name}: parameter {place} was given twice; need each once")
            if not parameter.is_leaf:
                raise ArgumentError(
                    f"{name}: parameter {place} is the result of an operation: nobody would see "
                    "its new numbers; need what it was made of, or a start of its own: "
                    "x.detach().requires_grad_()"
                )
            known.add(id(parameter))

    def admit(self, params: list[Tensor]) -> None:
        """Refuse parameters that this rule cannot train."""

    def check(self, settings: Group) -> None:
        """Refuse settings outside their range."""
        name = type(self).__name__
        numbers = {**settings, "lr": rate_of(name, settings["lr"])}
        refuse(name, numbers, {**LIMITS, **self.limits})

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets that of every group."""
        settings = self.param_groups[0] if self.param_groups else self.defaults
        return rate_of(type(self).__name__, settings["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        value = plain({"lr": value})["lr"]
        rate_of(type(self).__name__, value)
        self.defaults["lr"] = value
        for group in self.param_groups:
            group["lr"] = value

    learning_rate = lr

    def name_of(self, parameter: Tensor) -> str:
        """How a message calls a parameter: by its path in the module, where that was given.

        Example:
            >>> import ambos as am
            >>> rule = am.optim.SGD(am.nn.Linear(2, 1).named_parameters())
            >>> rule.name_of(rule.param_groups[0]["params"][1])
            "'bias'"
        """
        for number, group in enumerate(self.param_groups):
            for place, found in enumerate(group["params"]):
                if found is parameter:
                    names = group.get("param_names")
                    shape = "x".join(map(str, parameter.shape)) or "scalar"
                    return repr(names[place]) if names else f"{place} of group {number} ({shape})"
        return "of no group"

    def parameters(self) -> Iterator[Tensor]:
        """All parameters of all groups."""
        for group in self.param_groups:
            yield from group["params"]

    def __repr__(self) -> str:
        rows = self.param_groups or [self.defaults]
        shown = "; ".join(
            ", ".join(
                f"{key}={value}"
                for key, value in group.items()
                if key not in ("params", "param_names") and not (key in QUIET and not value)
            )
            for group in rows
        )
        return f"{type(self).__name__}({shown})"


def settings_of(group: Group, apart: tuple[str, ...]) -> Callable[[], tuple[Any, ...]]:
    """A function that reads the settings of `group` and counts its parameters: in little time,
    since a jitted step asks at every call. Of those `apart`, whose numbers are data, it tells only
    what decides the graph: whether they are zero, or left to the rule."""
    skipped = ("params", "param_names", "lr", "initial_lr", *apart)
    fixed = [key for key in group if key not in skipped]
    read = itemgetter(*fixed) if fixed else len
    forms = itemgetter(*apart) if len(apart) > 1 else lambda group: map(group.get, apart)

    def settings() -> tuple[Any, ...]:
        return len(group["params"]), len(group), read(group), *map(_form, forms(group))

    return settings


def _form(value: Any) -> tuple[bool, bool] | bool:
    if isinstance(value, (tuple, list)):
        return not any(value), None in value
    return not value
