"""Whether computing flushes subnormal numbers to zero: the setting as users have it."""

from __future__ import annotations

from ambos.core.arguments import checked
from ambos.core.config import config
from ambos.core.errors import TracingError
from ambos.graph.node import forget_computed
from ambos.tensor import live
from ambos.tensor.tracing import current


@checked
def set_flush_denormal(mode: bool) -> bool:
    """Take subnormal numbers (below 1.2e-38 in float32) for zeros, or compute with them (default).

    Processors need a hundred times longer for such numbers. While this is on, arithmetic of ambos,
    in all its threads, reads them as zeros and gives zeros in their place; what only moves or
    changes signs keeps them, what selects may do either. NumPy and your own code never see the
    mode. What is pending is computed first, as it was recorded. Returns whether this machine can;
    where it cannot, nothing changes.

    Errors: TracingError inside a jitted function: the mode belongs to the call, not to the graph.

    Example:
        >>> import ambos as am
        >>> if am.set_flush_denormal(True):
        ...     print((am.tensor([1e-38]) * 0.1).item())
        0.0
        >>> _ = am.set_flush_denormal(False)
    """
    from ambos.runtime.denormal import can_flush  # the runtime is loaded when it is needed
    from ambos.runtime.machine import host_features

    if current.trace is not None:
        raise TracingError(
            f"{current.trace.op}: set_flush_denormal is called inside the jitted function; the "
            "mode is no part of its graph; need the call outside, before the function is run"
        )
    possible = can_flush(host_features().triple)
    wanted = bool(mode) and possible
    if wanted != config.flush_denormal:
        live.flush()
        forget_computed()
        config.flush_denormal = wanted
    return possible


@checked
def get_flush_denormal() -> bool:
    """Does computing flush subnormal numbers to zero?

    Example:
        >>> import ambos as am
        >>> am.get_flush_denormal()
        False
    """
    return config.flush_denormal
