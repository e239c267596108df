"""What a jitted call would run, without running it: for `am.forecast` and `am.explain`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ambos.compiler.compiled import Renewal
from ambos.core import tree
from ambos.core.collector import held_off
from ambos.graph.lines import Line
from ambos.graph.node import Node
from ambos.graph.rewrite import Trail
from ambos.tensor import live
from ambos.tensor.handle import Tensor
from ambos.tensor.realize import numbered
from ambos.tensor.recorder import Recorder
from ambos.tensor.watch import Watcher, watching


class Known(BaseException):
    """What would be computed is known: no need to."""


class Draft(Watcher):
    """Hands every graph that is about to be computed to `made`, as the compiler gets it. `stops`:
    instead of computing."""

    stops = True

    def made(
        self, roots: list[Node], trail: Trail, renewal: Renewal, budget: int | None,
        leaves: Sequence[Node], lines: list[Line | None],
    ) -> None:  # fmt: skip
        """A graph over numbered inputs; `trail` numbers its nodes, and `lines` says where each was
        recorded."""
        raise NotImplementedError

    def pending(
        self, wanted: Sequence[Node], leaves: Sequence[Node], renewal: Renewal,
        budget: int | None,
    ) -> None:  # fmt: skip
        roots, trail, lines = numbered(wanted, leaves)
        with held_off():
            self.made(roots, trail, renewal, budget, leaves, lines)
        if self.stops:
            raise Known


def rehearse(
    draft: Draft, step: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
    budget: int | None,
) -> Recorder:  # fmt: skip
    """Record a call of `step` as `am.jit` does, up to what `draft` is told; everything stays as it
    was. The Recorder knows what the inputs are."""
    tensors = [leaf for leaf in tree.leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    live.evaluate(tensors)
    live.flush()
    tensors = list({id(tensor): tensor for tensor in tensors}.values())
    everything = range(len(tensors))
    recorder = Recorder(lambda _: step(*args, **kwargs), tensors, everything, budget=budget)
    with held_off(), watching(draft):
        try:
            recorder.trace()
            if recorder.finish() is None:  # it makes state, which counts like any result
                recorder.run_once()
        except Known:
            pass
        finally:
            recorder.undo()
    return recorder


__all__ = ["Draft", "Known", "rehearse"]
