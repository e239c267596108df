"""Model: a module with `compile`, `fit`, `evaluate`, `predict`, `summary`, `save` and `load`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from types import MethodType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ambos import nn, optim
from ambos.core.arguments import checked
from ambos.core.dtype import DType, float32
from ambos.core.errors import ArgumentError
from ambos.nn.parameter import UninitializedParameter
from ambos.optim import Optimizer
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad
from ambos.train import saving
from ambos.train.architecture import name_of
from ambos.train.callbacks import History
from ambos.train.fitting import Fit
from ambos.train.loop import (
    Batches,
    Plan,
    Totals,
    call,
    from_arrays,
    inputs_of,
    is_arrays,
    test_batch,
)
from ambos.train.names import find_loss, find_metric
from ambos.train.progress import check_verbose
from ambos.train.summary import summarize

EVALUATION_BATCH = 256  # examples at a time where no gradients are kept


class Model(nn.Module):
    """A module that trains itself: `Model(net)`, or a subclass with its own `forward`.

    `Model(net)` is another view of `net`: the same layers under the same names.

    Errors: ArgumentError for what is no module; see also each method.

    Example:
        >>> import ambos as am
        >>> from ambos import nn
        >>> model = am.Model(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
        >>> model.compile(optimizer="adam", loss="cross_entropy", metrics=["accuracy"])
        >>> model.predict(np.zeros((3, 4), np.float32)).shape
        (3, 2)
    """

    network: nn.Module | None
    stop_training: bool

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
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
        self.__dict__["training"] = network.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        network = self.__dict__.get("network")
        if network is None:
            return super().forward(*args, **kwargs)
        return network(*args, **kwargs)

    def train(self, mode: bool = True) -> Self:
        network = self.__dict__.get("network")
        if network is not None:
            network.train(mode)
        return super().train(mode)

    def __repr__(self) -> str:
        network = self.__dict__.get("network")
        return super().__repr__() if network is None else f"Model({network!r})"

    # Training

    @checked
    def compile(
        self, optimizer: Any = "adam", loss: Any = None, metrics: Sequence[Any] = ()
    ) -> None:
        """Settle how to train: names ("adam", "cross_entropy", "accuracy") or objects.

        An optimizer without parameters, `SGD(lr=0.1)`, gets the model's.
        Errors: ArgumentError for unknown names; UnknownNameError for a misspelt keyword.

        Example:
            >>> from ambos import nn
            >>> model = Sequential([nn.Linear(2, 2)])
            >>> model.compile(optimizer=optim.SGD(lr=0.1), loss="mse", metrics=["mae"])
            >>> model.optimizer.lr
            0.1
        """
        if loss is None:
            raise ArgumentError(
                "compile: no loss; need one, for example loss='cross_entropy' or a function"
            )
        rule = optim.by_name(optimizer) if isinstance(optimizer, str) else optimizer
        rule = rule() if isinstance(rule, type) else rule
        if not isinstance(rule, Optimizer):
            raise ArgumentError(
                f"compile: the optimizer is {type(rule).__name__}; need a name such as 'adam', or "
                "an optimizer such as optim.SGD(lr=0.1)"
            )
        if isinstance(metrics, str) or not isinstance(metrics, Iterable):
            raise ArgumentError(f"compile: metrics is {metrics!r}; need a list, e.g. ['accuracy']")
        found = dict(find_metric(metric) for metric in metrics)
        self.__dict__["_plan"] = Plan(
            rule, find_loss(loss), found, saving.written_plan(loss, metrics)
        )
        self.__dict__["optimizer"] = rule

    @property
    def plan(self) -> Plan:
        """What `compile` settled."""
        found: Plan | None = self.__dict__.get("_plan")
        if found is None:
            raise ArgumentError(
                f"{type(self).__name__}: not compiled yet; need model.compile(optimizer='adam', "
                "loss='cross_entropy', metrics=['accuracy']) first"
            )
        return found

    @checked
    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        seed: int | None = None,
        steps_per_epoch: int | None = None,
    ) -> History:
        """Train on arrays `x, y`, or on an iterable of batches `(x, y)`.

        `validation_split` sets the last part of the arrays aside; `validation_data` is a pair of
        arrays or an iterable of batches. Ctrl-C ends training after the current batch: the model
        keeps what it has learnt, and the History, with `interrupted` set, comes back as usual.

        Errors: ArgumentError, ShapeError, UnknownNameError for a misspelt keyword.

        Example:
            >>> from ambos import nn
            >>> model = Sequential([nn.Linear(2, 2)])
            >>> model.compile("sgd", "mse")
            >>> history = model.fit(np.ones((4, 2)), np.ones((4, 2)), epochs=3, verbose=0)
            >>> len(history.history["loss"])
            3
        """
        run = Fit(self, self.plan, epochs, callbacks, verbose)
        return run(
            run.batches(x, y, batch_size, shuffle, seed, steps_per_epoch, validation_split),
            run.validation(validation_data, batch_size),
        )

    @checked
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = 0,
        return_dict: bool = True,
    ) -> dict[str, float] | list[float]:
        """Loss and metrics on arrays or on an iterable of batches, without training.

        A dictionary by name, or a list with `return_dict=False`.

        Errors: ArgumentError before `compile`, and as `fit`.

        Example:
            >>> from ambos import nn
            >>> model = Sequential([nn.Linear(2, 2)])
            >>> model.compile("sgd", "mse")
            >>> list(model.evaluate(np.ones((4, 2)), np.ones((4, 2))))
            ['loss']
        """
        check_verbose("evaluate", verbose)
        plan, size = self.plan, batch_size or EVALUATION_BATCH
        logs = self.measure(plan, batches_of(x, y, self.float_dtype, size, "evaluate"))
        if verbose:
            print("  ".join(f"{name} {value:.4f}" for name, value in logs.items()))
        return logs if return_dict else list(logs.values())

    def measure(self, plan: Plan, batches: Batches) -> dict[str, float]:
        """Averages of loss and metrics over `batches`, in eval mode."""
        totals, training = Totals(["loss", *plan.metrics]), self.training
        self.eval()
        try:
            for x, y in batches:
                test_batch(self, plan, x, y, totals)
        finally:
            self.train(training)
        return totals.means()

    @checked
    def predict(
        self, x: Any, batch_size: int | None = None, verbose: str | int = 0
    ) -> NDArray[Any]:
        """The model's outputs for the rows of `x`, as a NumPy array.

        `x` is an array, or an iterable of batches: inputs, or pairs `(x, y)` as `fit` takes them.
        The model runs in eval mode; a row's result does not depend on the rows beside it.

        Errors: ArgumentError without rows or where `forward` returns no tensor; ShapeError and
            DTypeError from the layers.

        Example:
            >>> from ambos import nn
            >>> model = Sequential([nn.Linear(2, 3)])
            >>> model.predict([[1.0, 2.0]]).shape
            (1, 3)
        """
        check_verbose("predict", verbose)
        training, parts = self.training, []
        self.eval()
        try:
            with no_grad():
                for batch in inputs_of(x, self.float_dtype, batch_size or EVALUATION_BATCH):
                    output = call(self, batch)
                    if not isinstance(output, Tensor):
                        raise ArgumentError(
                            f"predict: forward returned {type(output).__name__}; need one tensor"
                        )
                    parts.append(output.numpy())
        finally:
            self.train(training)
        return np.concatenate(parts)

    @property
    def float_dtype(self) -> DType:
        """The dtype of the parameters, which inputs are converted to."""
        for parameter in self.parameters():
            if parameter.dtype.is_floating:
                return parameter.dtype
        return float32

    # Looking, saving, loading

    @checked
    def summary(self, input: Any = None, depth: int | None = None) -> None:
        """Print a table of the layers: name, type, output shape, parameters, FLOPs.

        `input` is the shape of one example, `(1, 8, 8)`, or a batch, or a list of either for a
        model of several inputs; without it, shapes are those of the last `fit`, or left out. Below
        `depth` levels modules are one line each. FLOPs are those of contractions for one example,
        a product and its addition counted as two. `am.viz.summary` gives the numbers as well.

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
        known = self.__dict__.get("_example") if input is None else input
        print(summarize(self, known, depth))

    @checked
    def save(self, path: str | os.PathLike[str], include_optimizer: bool = True) -> str:
        """Write architecture, weights and training state to one safetensors file, in one step.

        Returns the path, ".safetensors" added where there was no suffix. A loss or metric that is
        a function of your own is not in the file, and a warning says so.

        Errors: ArgumentError where a lazy layer has no sizes yet; OSError where the place cannot be
            written.

        Example:
            >>> import tempfile
            >>> from ambos import nn
            >>> model = Sequential([nn.Linear(2, 3)])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     again = Model.load(model.save(f"{folder}/model"))
            >>> bool((again.predict(np.eye(2)) == model.predict(np.eye(2))).all())
            True
        """
        unsized = [
            name
            for name, parameter in self.named_parameters()
            if isinstance(parameter, UninitializedParameter)
        ]
        if unsized:
            raise ArgumentError(
                f"save: {', '.join(unsized)} have no sizes yet; need a call with one batch first"
            )
        return saving.save(self, path, include_optimizer)

    load: Any  # Model.load(path) makes a new model, model.load(path) fills this one; see below


class Sequential(Model, nn.Sequential):
    """Layers one after the other, as a Model: `Sequential([nn.LazyLinear(10), ...])`.

    Example:
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


def batches_of(x: Any, y: Any, dtype: DType, batch_size: int, op: str) -> Batches:
    """Batches in order, from arrays or from an iterable."""
    if not is_arrays(x):
        if y is not None:
            raise ArgumentError(f"{op}: got an iterable of batches and y; need y inside its pairs")
        return Batches(x, dtype, None, op)
    if y is None:
        raise ArgumentError(f"{op}: got x without y; need both, or an iterable of pairs (x, y)")
    return from_arrays(x, y, dtype, batch_size, False, None, op)
