"""Settings that are data in the graph of a step: turned, they compile nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar
from weakref import ref

from ambos.core.dtype import float64
from ambos.optim.groups import Grouped
from ambos.optim.settings import Group, rate_of
from ambos.tensor.guards import Same
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.tracing import current, guard, host_value


class Dialled(Grouped):
    """Base of optimizers: the learning rate and what is in `dials` reach a rule as 0-d float64
    tensors."""

    # Settings that schedules turn, for `factors` alone; who writes these methods anew says it anew.
    dials: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        said = vars(cls)
        if "dials" not in said and ("factors" in said or "update" in said):
            cls.dials = ()

    def __init__(self, params: Iterable[Any] | None, defaults: Group) -> None:
        self._data: dict[tuple[int, str, int], tuple[float, Tensor]] = {}
        super().__init__(params, defaults)

    def in_numbers(self, number: int) -> Group:
        """The settings of a group, with data in place of the numbers that vary. What is None in a
        tuple stays so: a rule has a number of its own for it."""
        group = self.param_groups[number]
        found = {**group, "lr": self._rate(number, group)}
        for key in self.dials:
            value = group[key]
            if isinstance(value, (tuple, list)):
                parts = [
                    None if part is None
                    else self._datum((number, key, n), partial(_entry, group, key, n))
                    for n, part in enumerate(value)
                ]  # fmt: skip
                found[key] = tuple(parts)
            else:
                found[key] = self._datum((number, key, 0), partial(_entry, group, key, None))
        return found

    def _rate(self, number: int, group: Group) -> Tensor:
        """The learning rate as data. A jitted step reads the number anew at every call."""
        rate = group["lr"]
        guard(lambda: isinstance(group["lr"], Tensor) and Same(group["lr"]))
        if isinstance(rate, Tensor):
            return rate.detach().to(float64).reshape(())
        return self._datum((number, "lr", 0), partial(_rate_now, ref(self), number))

    def _rate_now(self, number: int) -> float:
        value = self.param_groups[number]["lr"]
        if value.__class__ is float and 0 <= value < math.inf:  # asked at every jitted call
            return value
        place = f"param_groups[{number}]['lr']"
        return rate_of(
            f"{type(self).__name__}.step: {place}",
            value,
            fix=f": set {place}, or look at the schedule that turns it",
        )

    def _datum(self, place: tuple[int, str, int], read: Callable[[], float]) -> Tensor:
        value, known = read(), self._data.get(place)
        if current.trace is not None or known is None or known[0] != value:
            known = self._data[place] = value, wrap(host_value("float64", (), read))
        return known[1]


def _rate_now(of: ref[Dialled], number: int) -> float:
    rule = of()
    assert rule is not None, "its recordings went with it"
    return rule._rate_now(number)


def _entry(group: Group, key: str, place: int | None) -> float:
    return float(group[key] if place is None else group[key][place])
