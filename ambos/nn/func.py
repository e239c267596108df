"""`am.func`: PyTorch's names for functions of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ambos.core.arguments import answering, checked
from ambos.core.errors import ArgumentError
from ambos.nn import calls
from ambos.nn.calls import stack_modules as stack_module_state
from ambos.nn.module import Module
from ambos.tensor.jacobians import hessian, jacfwd, jacrev
from ambos.tensor.linearization import jvp, linearize, vjp
from ambos.tensor.transforms import grad, value_and_grad
from ambos.tensor.vmap import vmap


@checked
def functional_call(
    module: Module, parameter_and_buffer_dicts: Any, args: Any = None,
    kwargs: Mapping[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """`am.functional_call` in PyTorch's spelling: positional arguments in a tuple (or one alone),
    keywords in a dict.

    Errors: ArgumentError, as there, and for `tie_weights=False`.

    Example:
        >>> import ambos as am
        >>> net = am.nn.Linear(1, 1)
        >>> params = {"weight": am.tensor([[2.0]]), "bias": am.tensor([1.0])}
        >>> am.func.functional_call(net, params, (am.tensor([3.0]),)).item()
        7.0
    """
    if not tie_weights:
        raise ArgumentError("functional_call: tie_weights is False; need True: a tensor that has "
                            "several names in the module is one")  # fmt: skip
    given = () if args is None else args if isinstance(args, tuple) else (args,)
    return calls.functional_call(
        module, parameter_and_buffer_dicts, *given, strict=strict, **(kwargs or {})
    )


@checked
def grad_and_value(
    func: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """`am.value_and_grad` with the two results the other way round.

    Example:
        >>> import ambos as am
        >>> am.func.grad_and_value(lambda x: x**2)(am.tensor(3.0))
        (tensor(6.), tensor(9.))
    """
    both = value_and_grad(func, argnums, has_aux)

    def turned(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return grads, value

    return turned


__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "stack_module_state", "vjp", "vmap",
]  # fmt: skip
__getattr__ = answering("ambos.func", __all__)
