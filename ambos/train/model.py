"""Model: a module with `compile`, `fit`, `evaluate`, `predict`, `summary`, `save` and `load`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any, Self

from ambos import nn
from ambos.core.arguments import checked
from ambos.core.dtype import DType
from ambos.core.elsewhere import needed
from ambos.core.errors import (
    ArgumentError,
    IndexingError,
    UnknownNameError,
    suggest,
    user_line,
)
from ambos.nn.modes import put_mode, says_modes_alone
from ambos.train import saving
from ambos.train.architecture import name_of
from ambos.train.functional import Graph
from ambos.train.sizes import unsized
from ambos.train.summary import known_inputs, summarize, varies
from ambos.train.trainable import Trainable


class Model(Trainable):
    """A module that trains itself: `Model(net)`, or a subclass with its own `forward`.

    `Model(net)` is another view of `net`: the same layers under the same names.
    `Model(inputs=, outputs=)` is what leads from `am.Input`s to what was made of them: several of
    both in lists or dicts, layers that are shared, models inside of models; a class of your own
    with another `train_step` takes them as well. Its layers are called linear, linear_1, ...

    Errors: ArgumentError for what is no module; see also each method.

    Example:
        >>> import ambos as am
        >>> import numpy as np
        >>> from ambos import nn
        >>> model = am.Model(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
        >>> model.compile(optimizer="adam", loss="cross_entropy", metrics=["accuracy"])
        >>> model.predict(np.zeros((3, 4), np.float32)).shape
        (3, 2)
    """

    network: nn.Module | None

    def __init__(
        self, network: Any = None, outputs: Any = None, *, inputs: Any = None,
        name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if name is not None:
            self.__dict__["name"] = name
        if outputs is not None or inputs is not None:
            self._describe(network if inputs is None else inputs, outputs)
            return
        if network is None:
            return
        if not isinstance(network, nn.Module):
            raise ArgumentError(
                f"Model: got {type(network).__name__}; need a module, or a list of layers in "
                "am.Sequential([...])"
            )
        # Not a child: that would put "network." in front of every name in the state_dict.
        shared = ("_parameters", "_buffers", "_modules", "_transient")
        self.__dict__.update({name: getattr(network, name) for name in shared})
        self.__dict__["network"] = network
        self.training = network.training

    def _describe(self, given: Any, outputs: Any) -> None:
        """Become the model that leads from symbolic inputs to symbolic outputs."""
        if given is None or outputs is None:
            raise ArgumentError("Model: got only one of inputs and outputs; need both")
        graph = Graph(given, outputs)
        for name, module in graph.modules.items():
            self._modules[name] = module
        self.__dict__.update(graph=graph, output_names=graph.output_names)

    def __getattr__(self, name: str) -> Any:
        if name in ("inputs", "outputs") and "graph" in self.__dict__:
            graph = self.__dict__["graph"]
            return graph.given if name == "inputs" else graph.made
        try:
            return super().__getattr__(name)
        except UnknownNameError as error:
            known = needed("Model", name)
            if known is not None:
                error.message += f"; what Keras does so is {known} here"
                error.at(user_line())
            raise

    def get_layer(self, name: str | None = None, index: int | None = None) -> nn.Module:
        """A layer by its name, as `named_children` has it, or by its number.

        Errors: UnknownNameError for a name that is none, IndexingError for a number.

        Example:
            >>> from ambos import nn
            >>> Sequential([nn.Linear(2, 3), nn.ReLU()]).get_layer(index=1)
            ReLU()
        """
        known = {key: child for key, child in self._modules.items() if child is not None}
        if index is not None:
            if not -len(known) <= index < len(known):
                raise IndexingError(f"get_layer: index {index} of {len(known)} layers")
            return list(known.values())[index]
        if name not in known:
            raise UnknownNameError(
                f"get_layer: no layer {name!r}; known: {', '.join(known)}"
                f"{suggest(str(name), known)}"
            )
        return known[name]

    def output_of(self, name: str, call: int = 0) -> Any:
        """What a layer of a functional model returns, symbolic: the output of a model that ends
        there, `am.Model(model.inputs, model.output_of(name))`. `call` counts the calls of a shared
        layer.

        Errors: ArgumentError for a model that is not functional; UnknownNameError as `get_layer`.
        """
        graph, layer = self.__dict__.get("graph"), self.get_layer(name)
        if graph is None:
            raise ArgumentError(
                f"output_of: {type(self).__name__} was not made from am.Input; need am.capture("
                f"model, {name!r}), which returns what layers return"
            )
        return graph.result_of(layer, call)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        graph = self.__dict__.get("graph")
        if graph is not None:
            return graph(self._modules, graph.arguments(args, kwargs))
        network = self.__dict__.get("network")
        if network is None:
            return super().forward(*args, **kwargs)
        return network(*args, **kwargs)

    def _conversion(self, dtype: DType) -> Callable[[], None] | None:
        graph = self.__dict__.get("graph")
        return None if graph is None else graph.conversion(dtype)

    @says_modes_alone
    def train(self, mode: bool = True) -> Self:
        network = self.__dict__.get("network")
        if network is None:
            return super().train(mode)
        network.train(mode)  # whose parts are the model's
        put_mode(self, mode)
        return self

    def __repr__(self) -> str:
        network = self.__dict__.get("network")
        return super().__repr__() if network is None else f"Model({network!r})"

    # Looking, saving, loading

    @checked
    def summary(self, input: Any = None, depth: int | None = None) -> None:
        """Print a table of the layers: name, type, output shape, parameters, FLOPs.

        `input` is the shape of one example, `(1, 8, 8)`, or a batch, or a list of either for a
        model of several inputs; without it, shapes are those of a functional model (as drawn, where
        sizes are None) or of the last `fit`, or left out. Below `depth` levels modules are one line
        each. FLOPs are those of contractions for one example, a product and its addition counted as
        two. `am.viz.summary` gives the numbers as well.

        Errors: ShapeError where an input like this does not fit the layers.

        Example:
            >>> from ambos import nn
            >>> Sequential([nn.Linear(2, 3)]).summary((2,))
            Sequential
            ───────────────────────────────────────────
            layer       output shape  parameters  FLOPs
            ───────────────────────────────────────────
            0 (Linear)  (N, 3)                 9     12
            ───────────────────────────────────────────
            parameters 9 (9 trained), 36 B
            an example 12 FLOPs, activations 12 B
        """
        if input is None and not varies(self):
            input = known_inputs(self)
        print(summarize(self, input, depth))

    @checked
    def save(self, path: str | os.PathLike[str], include_optimizer: bool = True) -> str:
        """Write architecture, weights, which of them are frozen, and training state to one
        safetensors file, in one step.

        Returns the path, ".safetensors" added where there was no suffix. A loss or metric that is
        a function of your own is not in the file, and a warning says so.

        Errors: ArgumentError where a lazy layer has no sizes yet; OSError where the place cannot be
            written.

        Example:
            >>> import tempfile
            >>> import numpy as np
            >>> from ambos import nn
            >>> model = Sequential([nn.Linear(2, 3)])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     again = Model.load(model.save(f"{folder}/model"))
            >>> bool((again.predict(np.eye(2)) == model.predict(np.eye(2))).all())
            True
        """
        if lazy := unsized(self):
            raise ArgumentError(
                f"save: {', '.join(lazy)} have no sizes yet; need a call with one batch first"
            )
        return saving.save(self, path, include_optimizer)

    load: Any  # Model.load(path) makes a new model, model.load(path) fills this one; see below


class Sequential(Model, nn.Sequential):
    """Layers one after the other, as a Model: `Sequential([nn.LazyLinear(10), ...])`.

    Example:
        >>> import numpy as np
        >>> from ambos import nn
        >>> model = Sequential([nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2)])
        >>> model.predict(np.zeros((5, 3), np.float32)).shape
        (5, 2)
    """

    def __init__(self, *layers: Any) -> None:
        nn.Sequential.__init__(self, *layers)

    def forward(self, x: Any) -> Any:
        return nn.Sequential.forward(self, x)


class Load:
    """`Model.load(path, classes=())` makes a model, `model.load(path)` fills this one."""

    def __get__(self, model: Model | None, owner: type[Model]) -> Any:
        return MethodType(_load, owner) if model is None else MethodType(_load_into, model)


def _load(cls: type[Model], path: str | os.PathLike[str], classes: Iterable[type] = ()) -> Model:
    """A new model from a file that `save` wrote, with its training state.

    `classes` are those of your own that the model is made of; a class's own `load` knows itself.

    Errors: FormatError where the file is damaged or foreign, or holds a class that is not given;
        ArgumentError where `path` is no path.

    Example:
        >>> import tempfile
        >>> from ambos import nn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Model.load(Sequential([nn.Linear(2, 3)]).save(f"{folder}/model"))
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
        )
    """
    kinds: list[type] = [Model, Sequential, cls, *classes]
    known = {name_of(kind): kind for kind in kinds}
    found: Model = saving.load(path, known, Model)
    return found


def _load_into(self: Model, path: str | os.PathLike[str]) -> Model:
    """Take weights and training state over from a file that `save` wrote; returns the model.

    Errors: FormatError where the file is damaged, foreign, or does not fit: the model is then
        unchanged. ArgumentError where `path` is no path.

    Example:
        >>> import tempfile
        >>> from ambos import nn
        >>> one, other = Sequential([nn.Linear(2, 3)]), Sequential([nn.Linear(2, 3)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     other.load(one.save(f"{folder}/model")) is other
        True
    """
    filled: Model = saving.load_into(self, path)
    return filled


for _function in (_load, _load_into):
    _function.__name__ = "load"
    _function.__qualname__ = "Model.load"
Model.load = Load()
