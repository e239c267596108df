"""Low-rank adapters: a few trained numbers beside linear layers that stay as they are.

    from ambos.nn import lora
    lora.adapt(model, "*.q_proj", "*.v_proj", rank=8)    # only adapters are trained from now on
    ...
    am.save(lora.adapters(model), "adapters.safetensors")
    lora.merge(model)                                    # into the weights: no cost in use

Source: Hu et al. (2021), "LoRA: low-rank adaptation of large language models".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ambos.core.arguments import number, positive
from ambos.core.errors import ArgumentError, suggest
from ambos.nn import init
from ambos.nn.dropout import Dropout
from ambos.nn.linear import Linear
from ambos.nn.module import Module
from ambos.nn.parameter import assign
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad


class LoRALinear(Module):
    """A linear layer and its adapter: base_layer(x) + lora_B(lora_A(x)) * alpha / rank. At first
    the adapter adds nothing.

    Shapes: (..., in_features) to (..., out_features).
    Errors: ArgumentError unless `rank` is a positive integer.

    Example:
        >>> import ambos as am
        >>> layer = am.nn.lora.LoRALinear(am.nn.Linear(4, 3), rank=2)
        >>> layer(am.ones(5, 4)).shape, [n for n, p in layer.named_parameters() if p.requires_grad]
        ((5, 3), ['lora_A.weight', 'lora_B.weight'])
    """

    def __init__(
        self, base_layer: Linear, rank: int = 8, alpha: float | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.rank = positive("LoRALinear: rank", rank)
        self.alpha = float(rank) if alpha is None else number("LoRALinear: alpha", alpha)
        self.merged = False
        self.base_layer = base_layer.requires_grad_(False)
        dtype, sizes = base_layer.weight.dtype, (base_layer.in_features, base_layer.out_features)
        self.lora_dropout = Dropout(dropout)
        self.lora_A = Linear(sizes[0], rank, False, dtype=dtype)
        self.lora_B = Linear(rank, sizes[1], False, dtype=dtype)
        self.reset_parameters()
        self.register_state_dict_post_hook(_unmerged)
        self.register_load_state_dict_pre_hook(_refuse_merged)

    def reset_parameters(self) -> None:
        """A as linear layers begin, B zeros."""
        init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        init.zeros_(self.lora_B.weight)

    def forward(self, input: Tensor) -> Tensor:
        found: Tensor = self.base_layer(input)
        if self.merged:
            return found
        added: Tensor = self.lora_B(self.lora_A(self.lora_dropout(input)))
        return found + added * (self.alpha / self.rank)

    def _added(self) -> Tensor:
        return (self.lora_B.weight @ self.lora_A.weight) * (self.alpha / self.rank)

    def merge(self, sign: float = 1.0) -> None:
        """Add the adapter to the weight; it is passed over then."""
        if self.merged is (sign > 0):
            return
        with no_grad():
            assign(self.base_layer.weight, self.base_layer.weight.detach() + self._added() * sign)
        self.merged = sign > 0

    def unmerge(self) -> None:
        """Take the adapter out of the weight again (what was rounded stays)."""
        self.merge(-1.0)

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha}, merged={self.merged}"


def _unmerged(module: LoRALinear, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    """A state has the weight without its adapter: whoever loads it adds that."""
    if module.merged:
        key = f"{prefix}base_layer.weight"
        state[key] = state[key].detach() - module._added().detach()


def _refuse_merged(
    module: LoRALinear, state: dict[str, Any], prefix: str, metadata: Any, strict: bool,
    missing: list[str], unexpected: list[str], problems: list[str],
) -> None:  # fmt: skip
    if module.merged:
        problems.append(
            f"the adapter {prefix.removesuffix('.')!r} is merged into its weight; need "
            "lora.unmerge(model) first, and lora.merge(model) afterwards"
        )


def adapt(
    model: Module,
    *patterns: str,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
) -> Module:
    """Give the linear layers of these names (with `*` and `?`) adapters, and freeze everything
    else; returns the model.

    Errors: ArgumentError for a pattern that no linear layer has.

    Example:
        >>> from ambos import nn
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> net = nn.lora.adapt(net, "0", rank=2)
        >>> [name for name, p in net.named_parameters() if p.requires_grad]
        ['0.lora_A.weight', '0.lora_B.weight']
    """
    linear = {name: m for name, m in model.named_modules() if type(m) is Linear}
    done = [name for name, _ in _adapted(model)]
    for pattern in patterns or ("",):
        if any(fnmatchcase(name, pattern) for name in done):
            raise ArgumentError(
                f"lora.adapt: {pattern!r} has its adapter already; need one call with all names, "
                "or lora.remove(model) before another"
            )
        if not any(fnmatchcase(name, pattern) for name in linear):
            raise ArgumentError(
                f"lora.adapt: no Linear of {type(model).__name__} is called {pattern!r}; need "
                f"names as named_modules gives them{suggest(pattern, linear)}"
            )
    wanted = [name for name in linear if any(fnmatchcase(name, p) for p in patterns)]
    if "" in wanted:
        raise ArgumentError("lora.adapt: the model is a Linear itself; need nn.lora.LoRALinear")
    model.requires_grad_(False)
    for name in wanted:
        model.set_submodule(name, LoRALinear(linear[name], rank, alpha, dropout))
    return model


def _adapted(model: Module) -> Iterator[tuple[str, LoRALinear]]:
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            yield name, module


def merge(model: Module) -> Module:
    """Add every adapter to its weight; returns the model.

    Example:
        >>> from ambos import nn
        >>> net = nn.lora.adapt(nn.Sequential(nn.Linear(4, 2)), "0", rank=2)
        >>> nn.lora.merge(net)[0].merged, nn.lora.unmerge(net)[0].merged
        (True, False)
    """
    for _, module in _adapted(model):
        module.merge()
    return model


def unmerge(model: Module) -> Module:
    """Take every adapter out of its weight again; returns the model.

    Example:
        >>> from ambos import nn
        >>> net = nn.lora.adapt(nn.Sequential(nn.Linear(4, 2)), "0", rank=2)
        >>> nn.lora.unmerge(nn.lora.merge(net))[0].merged
        False
    """
    for _, module in _adapted(model):
        module.unmerge()
    return model


def remove(model: Module, merged: bool = True) -> Module:
    """Put plain linear layers back, their adapters added to the weights or (with `merged` False)
    forgotten; returns the model.

    Example:
        >>> from ambos import nn
        >>> nn.lora.remove(nn.lora.adapt(nn.Sequential(nn.Linear(4, 2)), "0"))
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=True)
        )
    """
    for name, module in [*_adapted(model)]:
        (module.merge if merged else module.unmerge)()
        model.set_submodule(name, module.base_layer)
    return model


def adapters(model: Module) -> dict[str, Tensor]:
    """The state of the adapters alone: what to save (`remove` gives plain layers and their names).

    Example:
        >>> from ambos import nn
        >>> net = nn.lora.adapt(nn.Sequential(nn.Linear(4, 2)), "0", rank=2)
        >>> {name: tensor.shape for name, tensor in nn.lora.adapters(net).items()}
        {'0.lora_A.weight': (2, 4), '0.lora_B.weight': (2, 2)}
    """
    own = {f"{name}.{part}.weight" for name, _ in _adapted(model) for part in ("lora_A", "lora_B")}
    return {name: tensor for name, tensor in model.state_dict().items() if name in own}


def load_adapters(model: Module, state: Mapping[str, Any]) -> Module:
    """Take over what `adapters` gave; returns the model.

    Errors: ArgumentError for names that are no adapters of the model, or missing.

    Example:
        >>> from ambos import nn
        >>> net = nn.lora.adapt(nn.Sequential(nn.Linear(4, 2)), "0", rank=2)
        >>> net = nn.lora.load_adapters(net, nn.lora.adapters(net))
    """
    own = adapters(model)
    differing = sorted({*own} ^ {*state})
    if differing:
        raise ArgumentError(
            f"lora.load_adapters: {', '.join(differing)} differ; need the adapters of this model: "
            "call lora.adapt with the same names first"
        )
    model.load_state_dict(state, strict=False)
    return model


__all__ = ["LoRALinear", "adapt", "adapters", "load_adapters", "merge", "remove", "unmerge"]
