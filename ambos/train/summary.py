"""The table of a model's layers: what each gives, how large it is, and what it costs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ambos import nn
from ambos.core import tree
from ambos.core.dtype import DType, float32
from ambos.core.errors import ArgumentError, DTypeError, TracingError
from ambos.core.shape import Shape, size_of
from ambos.core.unknown import is_unknown
from ambos.graph.node import Node
from ambos.nn.flops import flops_of
from ambos.nn.modes import in_mode
from ambos.nn.parameter import UninitializedParameter
from ambos.nn.scopes import Call, Recording, record
from ambos.ops.kinds import kind_of
from ambos.tensor.dry import ShapeDtype
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad
from ambos.train.step import takes_names

ROWS = 2  # examples in the batch that stands for any
NARROWEST = 12  # characters that the names of layers keep, however narrow the terminal is


@dataclass
class Layer:
    """A line of the table: a module, or all of one where the table goes no deeper.

    `parameters` and `frozen` are numbers of elements (None: not known before the first call),
    `flops` the operations of contractions for one example, `outputs` the shapes of the last call.
    """

    path: str
    kind: str
    depth: int
    outputs: list[Shape] = field(default_factory=list)
    parameters: int | None = 0
    frozen: int = 0
    flops: int = 0
    calls: int = 0

    @property
    def name(self) -> str:
        """The last part of the path, or the class of the whole model."""
        return self.path.rpartition(".")[2] or self.kind


@dataclass
class Summary:
    """What `summary` found; `print` shows the table.

    `parameters`, `frozen` and `flops` (None: unknown) are totals; `parameter_bytes` holds buffers
    too, `activation_bytes` what the layers of one example give, as if all of it were kept.
    """

    title: str
    layers: list[Layer]
    batch: int | None = None
    parameters: int = 0
    frozen: int = 0
    parameter_bytes: int = 0
    flops: int | None = None
    activation_bytes: int | None = None
    notes: list[str] = field(default_factory=list)

    def table(self, width: int | None = None) -> str:
        """The text, at most so many columns wide (by default, as wide as the terminal)."""
        width = width or shutil.get_terminal_size().columns
        rows = [self._cells(layer) for layer in self.layers]
        lines = [self.title, *_aligned(rows, width, self.flops is not None), *self._totals()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.table()

    def _cells(self, layer: Layer) -> tuple[str, str, str, str]:
        indent = "  " * max(0, layer.depth - 1)
        name = f"{indent}{layer.name} ({layer.kind})" if layer.depth else layer.name
        if layer.calls > 1:
            name += f" x{layer.calls}"
        count = "?" if layer.parameters is None else f"{layer.parameters:,}"
        count = "" if count == "0" else count
        if layer.frozen:
            count += " *" if layer.frozen == layer.parameters else " (*)"
        return name, self._shapes(layer.outputs), count, short(layer.flops) if layer.flops else ""

    def _shapes(self, outputs: Sequence[Shape]) -> str:
        texts = [
            f"({', '.join('N' if not i and n == self.batch else str(n) for i, n in enumerate(s))}"
            f"{',' if len(s) == 1 else ''})"
            for s in outputs
        ]
        return ", ".join(texts[:1]) + (", ..." if len(texts) > 1 else "") if texts else "-"

    def _totals(self) -> Iterator[str]:
        trained = self.parameters - self.frozen
        frozen = f", {self.frozen:,} frozen *" if self.frozen else ""
        yield (f"parameters {self.parameters:,} ({trained:,} trained{frozen}), "
               f"{nbytes(self.parameter_bytes)}")  # fmt: skip
        if self.flops is not None and self.activation_bytes is not None:
            yield (f"an example {short(self.flops) if self.flops else 0} FLOPs, activations "
                   f"{nbytes(self.activation_bytes)}")  # fmt: skip
        yield from self.notes


def summarize(model: Any, example: Any = None, depth: int | None = None) -> Summary:
    """What is in a model, and, where an example says how large its inputs are, what it costs.

    `example` is the shape of one example, or a batch, or a list of either for several inputs. The
    model is recorded without values: nothing is computed. Below `depth` levels modules are one
    line each.

    Errors: ArgumentError for no module or no depth; those of the model for such an input.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"summary: got {type(model).__name__}; need an nn.Module")
    if depth is not None and depth < 1:
        raise ArgumentError(f"summary: depth is {depth}; need at least 1")
    notes: list[str] = []
    recording = batch = None
    if example is not None:
        try:
            recording, batch = recorded("summary", model, example)
        except TracingError as error:
            notes.append(f"shapes and FLOPs unknown, since the model looks at values: {error}")
    kind = type(model.__dict__.get("network") or model).__name__
    name = model.__dict__.get("name")
    title = f"{name} ({kind})" if name else kind
    layers = [*_layers(model, depth, recording, batch)]
    found = Summary(title, layers, batch, notes=notes)
    for tensor in (*model.parameters(), *model.buffers()):
        if isinstance(tensor, UninitializedParameter):
            continue
        found.parameter_bytes += size_of(tensor.shape) * tensor.dtype.itemsize
    for parameter in model.parameters():
        if not isinstance(parameter, UninitializedParameter):
            found.parameters += size_of(parameter.shape)
            found.frozen += size_of(parameter.shape) * (not parameter.requires_grad)
        elif "?" not in "".join(notes):
            notes.append("? has no size until the first call")
    if recording is not None:
        found.flops = flops_of(recording.nodes()) // (batch or 1)
        found.activation_bytes = _activations(recording.root) // (batch or 1)
    return found


def _layers(
    model: nn.Module, depth: int | None, recording: Recording | None, batch: int | None
) -> Iterator[Layer]:
    calls: dict[int, list[Call]] = {}
    for call in recording.root.walk() if recording is not None else ():
        calls.setdefault(id(call.module), []).append(call)
    drawn = _drawn(model) if recording is None else {}
    counted: set[int] = set()
    for path, module in model.named_modules():
        level = path.count(".") + 1 if path else 0
        whole = level == depth or not any(module.children())
        if depth is not None and level > depth:
            continue
        mine = calls.get(id(module), [])
        layer = Layer(path, type(module).__name__, level, calls=len(mine))
        if mine:
            layer.outputs = [node.shape for node in mine[-1].outputs]
        elif id(module) in drawn:
            layer.outputs, layer.calls = drawn[id(module)]
        _count(layer, module.parameters() if whole else _own(module), counted)
        inside = [c for call in mine for c in (call.walk() if whole else [call])]
        layer.flops = sum(flops_of(call.nodes) for call in inside) // (batch or 1)
        if level or whole or layer.flops or layer.parameters != 0:  # the title names the model
            yield layer


def _drawn(model: nn.Module) -> dict[int, tuple[list[Shape], int]]:
    """What layers of a functional model give, as it was drawn, and how often they are called."""
    graph, found = model.__dict__.get("graph"), dict[int, tuple[list[Shape], int]]()
    for call in graph.calls if graph is not None else ():
        _, calls = found.get(id(call.module), ([], 0))
        found[id(call.module)] = [node.shape for node in call.results], calls + 1
    return found


def _own(module: nn.Module) -> list[Any]:
    return [parameter for parameter in module._parameters.values() if parameter is not None]


def _count(layer: Layer, parameters: Iterable[Any], counted: set[int]) -> None:
    """Add up parameters; one that several layers share counts where it comes first."""
    for parameter in parameters:
        if isinstance(parameter, UninitializedParameter) or layer.parameters is None:
            layer.parameters = None
        elif id(parameter) not in counted:
            counted.add(id(parameter))
            layer.parameters += size_of(parameter.shape)
            layer.frozen += size_of(parameter.shape) * (not parameter.requires_grad)


def _activations(root: Call) -> int:
    """The bytes of what the innermost modules return, views of their inputs left out."""
    nodes: set[Node] = set()
    for call in root.walk():
        if not call.calls:
            nodes.update(node for node in call.outputs if kind_of(node) != "move")
    return sum(size_of(node.shape) * node.dtype.itemsize for node in nodes)


def recorded(op: str, model: nn.Module, example: Any) -> tuple[Recording, int | None]:
    """The model's graph in eval mode for a batch like `example`, and how many rows that has; `op`
    asks, for errors."""
    dtype = next((p.dtype for p in model.parameters() if p.dtype.is_floating), float32)
    args, shapes_only = _inputs(example, dtype)
    with no_grad(), in_mode(model, False):
        try:
            found = record(op, model, *given(model, args))
        except DTypeError:
            if not shapes_only:
                raise
            # Shapes say nothing of dtypes: they are numbers of tokens, perhaps.
            args, _ = _inputs(example, "int64")
            found = record(op, model, *given(model, args))
    graph = model.__dict__.get("graph")
    if graph is not None and len(args) == len(graph.inputs):  # named as the user has named them
        found.arguments = dict(zip(found.arguments, graph.input_names, strict=True))
        if not any(found.output_names) and graph.output_names:
            found.output_names = list(graph.output_names)
    leaves = [leaf for leaf in tree.leaves(args) if hasattr(leaf, "shape") and leaf.shape]
    return found, int(leaves[0].shape[0]) if leaves else None


def varies(model: Any) -> bool:
    """Is it a functional model of examples of several sizes?"""
    graph = model.__dict__.get("graph")
    given = graph.inputs if graph is not None else ()
    return any(is_unknown(size) for node in given for size in node.shape[1:])


def known_inputs(model: Any) -> Any:
    """Inputs that a Model knows of: those of a functional one, or of the last `fit`; else None."""
    graph = model.__dict__.get("graph")
    if graph is not None and not varies(model):
        return tuple(ShapeDtype((ROWS, *node.shape[1:]), node.dtype) for node in graph.inputs)
    engine = model.__dict__.get("_engine")
    return None if engine is None else engine.example


def given(model: nn.Module, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """How a model is called with the inputs of a batch: a dict goes by keyword where `forward` has
    parameters of these names."""
    if len(args) == 1 and isinstance(args[0], Mapping) and takes_names(model, args[0]):
        return (), dict(args[0])
    return args, {}


def _inputs(example: Any, dtype: DType | str) -> tuple[tuple[Any, ...], bool]:
    """The model's arguments for an example, and whether only shapes were given."""
    if _is_shape(example):
        return (ShapeDtype((ROWS, *example), dtype),), True
    if isinstance(example, (tuple, list)) and example and all(map(_is_shape, example)):
        return tuple(ShapeDtype((ROWS, *shape), dtype) for shape in example), True
    if isinstance(example, dict):
        inside = {n: _inputs(v, dtype) for n, v in example.items()}
        return ({n: args[0] for n, (args, _) in inside.items()},), all(
            only for _, only in inside.values()
        )
    args = example if isinstance(example, tuple) else (example,)
    return tuple(a if hasattr(a, "shape") else Tensor(np.asarray(a)) for a in args), False


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        isinstance(n, int) and not isinstance(n, bool) for n in value
    )


def short(number: float) -> str:
    """Three digits and a letter: 1.23 k, 45.6 M, 789 G."""
    letters = ["", "k", "M", "G", "T", "P"]
    while abs(number) >= 999.5 and letters[1:]:
        number, letters = number / 1000, letters[1:]
    letter = letters[0]
    digits = 0 if letter == "" or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f} {letter}".rstrip()


def nbytes(number: float) -> str:
    """Bytes in the largest unit that leaves a whole number before the point."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _aligned(rows: list[tuple[str, str, str, str]], width: int, has_flops: bool) -> list[str]:
    header = ("layer", "output shape", "parameters", "FLOPs")
    columns = 4 if has_flops else 3
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(columns)]
    spare = width - sum(widths) - 2 * (columns - 1)
    for i in (0, 1):  # names of layers give way first, then shapes
        if spare < 0:
            fewer = min(-spare, max(0, widths[i] - NARROWEST))
            widths[i], spare = widths[i] - fewer, spare + fewer
    rule = "─" * (sum(widths) + 2 * (columns - 1))

    def line(row: Sequence[str]) -> str:
        cells = [_cut(cell, width) for cell, width in zip(row, widths, strict=False)]
        return "  ".join(
            f"{cell:>{width}}" if i > 1 else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    return [rule, line(header), rule, *map(line, rows), rule]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
