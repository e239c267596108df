"""`am.special`: special functions under PyTorch's and SciPy's names.

Example:
    >>> import ambos as am
    >>> am.special.expit(am.tensor([0.0])).tolist()
    [0.5]
"""

from __future__ import annotations

from typing import Any

from ambos.tensor import composite, numbers, pointwise, soft
from ambos.tensor.special import functions, polynomials

_SOURCES = (functions, polynomials)
_HERE: dict[str, Any] = {
    name: getattr(module, name) for module in _SOURCES for name in module.__all__
}
_HERE |= {name: getattr(pointwise, name) for name in ("erf", "exp2", "expm1", "log1p")}
_HERE |= {"expit": composite.sigmoid, "logit": composite.logit, "sinc": composite.sinc}
_HERE["round"] = numbers.round
_HERE |= {name: getattr(soft, name) for name in ("log_softmax", "logsumexp", "softmax")}
globals().update(_HERE)
__all__ = sorted(_HERE)
