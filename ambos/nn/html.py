"""What notebooks show of a module: a tree that opens, with settings, shapes and parameters."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from ambos.core.shape import size_of
from ambos.nn.parameter import UninitializedParameter

OPEN = 12  # children that are shown without a click
STYLE = (
    "<style>.am-module{line-height:1.5}.am-module details,.am-module .leaf{margin-left:18px}"
    ".am-module .leaf{padding-left:14px}.am-module small{opacity:.7}"
    ".am-module code{font-size:11.5px;background:none;color:inherit}</style>"
)


def html_of(module: Any) -> str:
    """The tree."""
    return f'<div class="am-module">{STYLE}{"".join(_tree("", module, 0))}</div>'


def _tree(name: str, module: Any, depth: int) -> Iterator[str]:
    extra = module.extra_repr()
    title = f"{escape(name)} " if name else ""
    title += f"<b>{escape(type(module).__name__)}</b>"
    title += f" <code>{escape(extra)}</code>" if extra else ""
    title += _count(module)
    children = list(module._modules.items())
    own = [(n, p) for n, p in module._parameters.items() if p is not None]
    if not children and not own:
        yield f'<div class="leaf">{title}</div>'
        return
    is_open = " open" if not depth and len(children) <= OPEN else ""
    yield f"<details{is_open}><summary>{title}</summary>"
    for label, parameter in own:
        yield f'<div class="leaf"><code>{escape(label)} {_shape(parameter)}</code></div>'
    for label, child in children:
        if child is not None:
            yield from _tree(label, child, depth + 1)
    yield "</details>"


def _count(module: Any) -> str:
    """How many numbers a module learns, where it learns any."""
    parameters = list(module.parameters())
    if not parameters:
        return ""
    sized = [p for p in parameters if not isinstance(p, UninitializedParameter)]
    said = f"{sum(size_of(p.shape) for p in sized):,} parameters"
    frozen = sum(size_of(p.shape) for p in sized if not p.requires_grad)
    said += f", {frozen:,} frozen" if frozen else ""
    said += ", some without sizes" if len(sized) < len(parameters) else ""
    return f" <small>{said}</small>"


def _shape(parameter: Any) -> str:
    if isinstance(parameter, UninitializedParameter):
        return "of no size yet"
    return f"{tuple(parameter.shape)}{'' if parameter.requires_grad else ' frozen'}"
