"""Parameters that no gradient ever reached."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from typing import Protocol

from ambos.core.errors import depth_of_user
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import current

PATIENCE = 10  # steps without a gradient, before somebody is told


class Rule(Protocol):
    """What is asked of an optimizer here."""

    @property
    def state(self) -> Collection[Tensor]: ...

    def parameters(self) -> Iterator[Tensor]: ...

    def name_of(self, parameter: Tensor) -> str: ...


class Unreached:
    """Looks out for parameters without gradients, until there are none or somebody was told."""

    def __init__(self) -> None:
        self.done = False
        self._steps, self._waiting = 0, list[Tensor]()

    def look(self, rule: Rule) -> None:
        """Before a step of `rule`."""
        everyone = [p for p in rule.parameters() if p.requires_grad]
        candidates = self._waiting if self._steps else everyone
        waiting = [p for p in candidates if p.grad is None and p not in rule.state]
        patience = 1 if current.trace is not None else PATIENCE  # a recording is every step
        name = type(rule).__name__
        self._steps, self._waiting = self._steps + 1, waiting
        self.done = not waiting
        if everyone and len(waiting) == len(everyone):
            self._tell(
                f"{name}.step: no parameter has a gradient, so nothing is learnt; need "
                "loss.backward() before step(), with a loss that depends on the parameters"
            )
        elif waiting and self._steps >= patience:
            first, more = rule.name_of(waiting[0]), len(waiting) - 1
            self._tell(
                f"{name}.step: parameter {first}{f' and {more} more' if more else ''} never had a "
                "gradient; if that is meant, leave them out or call requires_grad_(False) on them; "
                "if not, the loss does not depend on them (detach, no_grad, a layer not called)"
            )

    def _tell(self, problem: str) -> None:
        self.done, self._waiting = True, []
        warnings.warn(problem, stacklevel=depth_of_user())
