"""Values that a function refuses: found out at once, or by a jitted function at every call."""

from __future__ import annotations

from ambos.core.errors import AmbosError
from ambos.graph.node import Node
from ambos.ops.reductions import any_
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.tracing import current


def require_none(wrong: Tensor, error: type[AmbosError], message: str) -> None:
    """No element of `wrong`, bools that take little to compute, may be true; else an `error`."""
    node = wrong._node
    found = any_(node, attrs=(tuple(range(node.rank)),)) if node.rank else node
    require_false(found, error, message)


def require_false(node: Node, error: type[AmbosError], message: str) -> None:
    """The bool scalar `node` must be False: looked at now, or at every call of what is traced."""
    if current.trace is not None:
        current.trace.checks[node] = error, message
    elif bool(wrap(node)):
        raise error(message)
