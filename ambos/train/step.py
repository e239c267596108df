"""One batch on its way through a model: what `train_step` does, and what an open loop is given."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, Self

from ambos.core import tree
from ambos.core.dtype import DType, bfloat16, float16, float32, float64
from ambos.core.errors import ArgumentError
from ambos.nn.utils import clip_grad_norm_
from ambos.optim import LBFGS
from ambos.tensor.autocast import autocast, casting, integers_as_floats
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad
from ambos.train.alignment import weighed
from ambos.train.batches import Batch, parts_in, size_of
from ambos.train.recipe import Recipe, check_class_weights, class_weights


class Step:
    """A batch with its forward, backward and update, each done when it is asked for.

    `batch` is the tuple (x, y, sample_weight), `output` what the model makes of x, `loss` one
    number; `backward()` adds to the gradients and `update()` lets the optimizer go on. With
    `accumulate` only the last batch of a group updates; before, `update()` does nothing. `epoch`
    and `index` say where the loop is; `logs` are loss and metrics of this batch.
    """

    def __init__(
        self, model: Any, batch: Any, recipe: Recipe | None = None, epoch: int = 0, index: int = 0
    ) -> None:
        self.model, self.epoch, self.index = model, epoch, index
        self.batch = parts_in(batch)
        self.recipe = model.engine.recipe if recipe is None else recipe
        self._output: Any = None
        self._losses: dict[str, Tensor] | None = None
        self._probed: dict[str, Tensor] = {}
        self.is_done = False

    @classmethod
    def prepared(
        cls, model: Any, batch: Batch, recipe: Recipe, epoch: int = 0, index: int = 0
    ) -> Self:  # fmt: skip
        """A step on a batch as a source gives it."""
        return cls(model, prepared(model, batch, recipe), recipe, epoch, index)

    @property
    def x(self) -> Any:
        """The inputs."""
        return self.batch[0]

    @property
    def y(self) -> Any:
        """The targets; None where there are none."""
        return self.batch[1] if len(self.batch) > 1 else None

    @property
    def sample_weight(self) -> Any:
        """The weights of the rows; None where there are none."""
        return self.batch[2] if len(self.batch) > 2 else None

    @property
    def output(self) -> Any:
        """What the model makes of the inputs."""
        if self._output is None:
            if self.recipe.precision is None:
                self._output = call(self.model, self.x)
            else:
                with autocast(self.recipe.precision):
                    found = call(self.model, self.x)
                self._output = tree.map(_widened, found)
        return self._output

    @property
    def loss(self) -> Tensor:
        """The loss of this batch, one number."""
        if self._losses is None:
            check_class_weights(self.recipe, self.y, self.output)
            self._losses = self.model.losses_of(self.x, self.y, self.output, self.sample_weight)
        return self._losses["loss"]

    @property
    def logs(self) -> dict[str, Any]:
        """Loss and metrics of this batch."""
        self.loss  # noqa: B018  # which computes the losses
        assert self._losses is not None
        with no_grad():
            output = tree.map(_detached, self.output)
            found = self.model.compute_metrics(self.x, self.y, output, self.sample_weight)
        losses = {name: loss.detach() for name, loss in self._losses.items()}
        return {**losses, **found, **self._probed}

    def backward(self) -> None:
        """Add this batch to the gradients."""
        if self.recipe.accumulate == 1:
            self._scaled(self.loss).backward()
            return
        # The mean over all rows so far, as of one large batch: each counts as much, in full batches
        # and in short ones. Shares are at most 1, so that narrow gradients do not overflow for it.
        loss, rows = self.loss, self.model.engine.rows
        with no_grad():
            before = rows.detach()
            rows += float(size_of(self.batch))
            for parameter in self.model.plan.optimizer.parameters():
                if parameter.grad is not None:
                    parameter.grad = parameter.grad * _share(before, rows, parameter.grad.dtype)
            share = _share(rows - before, rows, loss.dtype)
        self._scaled(loss * share).backward()

    @property
    def _scaler(self) -> Any:
        return self.model.engine.scaler if self.recipe.precision == "float16" else None

    def _scaled(self, loss: Tensor) -> Tensor:
        scaled: Tensor = loss if self._scaler is None else self._scaler.scale(loss)
        return scaled

    def update(self) -> None:
        """Let the optimizer make its step, where this batch completes one."""
        recipe, model = self.recipe, self.model
        if not recipe.due:
            return
        optimizer = model.plan.optimizer
        scaler = self._scaler
        if scaler is not None:
            scaler.unscale_(optimizer)
        with no_grad():
            if recipe.accumulate > 1:
                model.engine.rows.mul_(0.0)
            for probe in model.engine.probes:
                self._probed |= probe(model)
        if recipe.clip_norm is not None:
            clip_grad_norm_(optimizer.parameters(), recipe.clip_norm)
        if isinstance(optimizer, LBFGS):
            optimizer.step(self._again)
        elif scaler is not None:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizer.zero_grad()  # nobody looks at the gradients: they need no place of their own

    def _again(self) -> Tensor:
        """The loss with its gradients at other weights, which some optimizers ask for."""
        self.model.plan.optimizer.zero_grad()
        self._output = self._losses = None
        self.backward()
        return self.loss


def _share(part: Tensor, whole: Tensor, dtype: DType) -> Tensor:
    """`part / whole` in `dtype`, as Python's numbers would give it."""
    wide = float64 if dtype is float64 else float32
    share: Tensor = (part.to(wide) / whole.to(wide)).to(dtype)
    return share


def _widened(value: Any) -> Any:
    """A narrow output in float32, in which losses and metrics are measured."""
    if isinstance(value, Tensor) and value.dtype in (bfloat16, float16):
        return value.to(float32)
    return value


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def call(model: Any, x: Any) -> Any:
    """The model on a batch; several inputs come as a tuple, or as a dict: by keyword where
    `forward` has parameters of these names. Integers go in as they are, and layers with floating
    weights take them for floating numbers, as in Keras.
    """
    if not any(isinstance(leaf, Tensor) and not leaf.dtype.is_inexact for leaf in tree.leaves(x)):
        return _called(model, x)
    with integers_as_floats():
        found = _called(model, x)
    model.engine.casts_integers |= casting.has_cast
    return found


def _called(model: Any, x: Any) -> Any:
    if isinstance(x, Mapping) and takes_names(model, x):
        return model(**x)
    return model(*(x if isinstance(x, tuple) else (x,)))


def takes_names(model: Any, x: Mapping[str, Any]) -> bool:
    """Has the forward a parameter for each of these names?"""
    network = model.__dict__.get("network") or model
    known = signature(network.forward).parameters
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return all(name in known and known[name].kind in kinds for name in x)


def prepared(model: Any, batch: Batch, recipe: Recipe) -> Batch:
    """The batch as steps want it: numbers in the model's dtype, class weights among the weights."""
    dtype = model.float_dtype

    def fitted(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.dtype.is_floating and leaf.dtype is not dtype:
            return leaf.to(dtype)
        return leaf

    given = batch[1] if len(batch) > 1 else None
    batch = tree.map(fitted, batch)
    if given is not None and dtype in (bfloat16, float16) and model.plan.losses.takes_classes:
        batch = (batch[0], given, *batch[2:])  # numbers of classes are not rounded
    if not recipe.class_weight:
        return batch
    if not isinstance(given, Tensor):
        names = [*map(str, given)] if isinstance(given, Mapping) else []
        weights = ", ".join(f"{name!r}: weights" for name in names)
        fix = f"{{{weights}}}" if names else "[weights, ...]"
        raise ArgumentError(
            "fit: class_weight without targets; need y"
            if given is None
            else "fit: class_weight is for the classes of one output, and y has several; need "
            f"sample_weight={fix}, a weight for each row"
        )
    if given.ndim > 2:
        check_class_weights(recipe, given, None)
    weight = class_weights(given, recipe.class_weight).to(dtype)
    if len(batch) > 2:
        more = weighed(batch[2])
        weight = weight.reshape(-1, *[1] * (more.ndim - 1)) * more
    return (batch[0], batch[1], weight)
