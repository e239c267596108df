"""`fit` written out as a plain loop, for whoever wants to go on from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.optim import LBFGS
from ambos.train.names import LOSSES
from ambos.train.plan import takes_classes
from ambos.train.stepping import is_own

INDENT = "    "


class Writer:
    """The text of a loop that does what `fit` does with these arguments."""

    def __init__(self, model: Any, given: Mapping[str, Any]) -> None:
        self.model, self.plan, self.given = model, model.plan, given
        self.dtype = model.float_dtype.name
        self.weighted = given["class_weight"] is not None or given["sample_weight"]
        self.schedule = self.plan.schedule
        self.is_scaled = given["precision"] == "float16"
        self.has_own_step = is_own(model, "train_step")
        self.has_own_loss = is_own(model, "compute_loss") or is_own(model, "losses_of")
        settings = {name: given[name] for name in ("accumulate", "clip_norm", "precision")}
        asked = {n: v for n, v in settings.items() if v not in (None, 1, "float32")}
        # What the usual step heeds, which that of the model may call.
        self.recipe = ", ".join(f"{n}={v!r}" for n, v in asked.items()) if self.has_own_step else ""
        if isinstance(self.plan.optimizer, LBFGS) and not self.has_own_step:
            raise ArgumentError(
                "loop_source: LBFGS asks for the loss at several weights in an update, which the "
                "plain loop does not; need another optimizer, or am.loop(model, x, y)"
            )
        if self.dtype == "bfloat16":
            raise ArgumentError(
                "loop_source: the model is bfloat16, in which NumPy's arrays, which the plain loop "
                "reads, cannot be; need am.loop(model, x, y), or precision='bfloat16'"
            )
        self.steps = given["steps_per_epoch"]
        self.batches, self.count = ("loader", "len(loader)") if self.steps is None else (
            "batches", "count")  # fmt: skip
        self.takes_classes = takes_classes(self.plan.losses.spec)
        self.is_single = not isinstance(self.plan.losses.spec, (Mapping, list, tuple))

    def text(self) -> str:
        """All of it."""
        body = [*self._head(), *self._preparation(), ""]
        body.append(f"for epoch in range({self.given['initial_epoch']}, {self.given['epochs']}):")
        body += [INDENT + line if line else "" for line in self._epoch()]
        return "\n".join(body) + "\n"

    def _head(self) -> Iterator[str]:
        yield "# What model.fit does, written out: `model`, `x` and `y` are yours."
        if self.steps is not None:
            yield "from itertools import islice"
            yield ""
        yield "import numpy as np"
        yield ""
        yield "import ambos as am"
        yield "import ambos.nn.functional as F"
        yield "from ambos.data import DataLoader"
        if self.recipe:
            yield "from ambos.train.step import Recipe"
        elif self.given["clip_norm"] is not None:
            yield "from ambos.nn.utils import clip_grad_norm_"
        yield ""

    def _preparation(self) -> Iterator[str]:
        given = self.given
        yield "optimizer = model.optimizer"
        yield "if not optimizer.param_groups:"
        yield INDENT + "optimizer.attach(model.named_parameters())"
        yield "model.zero_grad()" if self.has_own_step else "optimizer.zero_grad()"
        columns = ["x", *(["y"] if given["targets"] else []),
                   *(["sample_weight"] if given["sample_weight"] else [])]  # fmt: skip
        yield from (self._as_array(name) for name in columns)
        if isinstance(given["validation"], tuple):
            for name, dtype in zip(self._held_out(), given["validation"], strict=True):
                if not self._is_ready(name, dtype):
                    yield self._as_array(name)
        if given["validation_split"]:
            yield f"kept = int(np.floor(len(x) * (1.0 - {given['validation_split']})))"
            for name in columns:
                yield f"{name}_val, {name} = {name}[kept:], {name}[:kept]"
        seed = "" if given["seed"] is None else f", seed={given['seed']}"
        order = f", shuffle=True{seed}" if given["shuffle"] else ""
        arrays = f"({', '.join(columns)},)" if len(columns) == 1 else f"({', '.join(columns)})"
        yield f"loader = DataLoader({arrays}, batch_size={given['batch_size']}{order})"
        if given["initial_epoch"]:
            yield f"loader.set_epoch({given['initial_epoch']})"
        if self.steps is not None:
            yield from self._parts()
        if given["class_weight"] is not None:
            weights = given["class_weight"]
            table = [weights.get(label, 1.0) for label in range(max(weights) + 2)]
            wide = f".to(am.{self.dtype})" * (self.dtype != "float32")
            yield f"class_weight = am.tensor({table}){wide}  # by class; the last: of any other"
        if self.recipe:
            yield f"recipe = Recipe({self.recipe})"
            yield "model.engine.prepare(model, recipe)"
        elif self.is_scaled:
            yield "scaler = am.GradScaler()"
        if self.schedule is not None:
            yield "schedule = model.plan.schedule.given"
            if self.schedule.is_function:
                yield "updates = 0"

    def _as_array(self, name: str) -> str:
        """Numbers as the model takes them, in its dtype unless they are whole and stay so."""
        kept = f"None if np.asarray({name}).dtype.kind in 'iub' else "
        kept *= not name.startswith("x") or not self.model.engine.casts_integers
        return f"{name} = np.asarray({name}, {kept}'{self.dtype}')"

    def _is_ready(self, name: str, dtype: str) -> bool:
        """Are numbers of `dtype` what `_as_array` makes of them?"""
        is_whole = dtype.startswith(("int", "uint", "bool"))
        stays = not name.startswith("x") or not self.model.engine.casts_integers
        return dtype == self.dtype or (is_whole and stays)

    def _held_out(self) -> list[str]:
        """What validation data are called."""
        given = self.given["validation"]
        weighted = bool(self.given["validation_split"] and self.given["sample_weight"])
        count = len(given) if isinstance(given, tuple) else 1 + self.given["targets"] + weighted
        return ["x_val", "y_val", "sample_weight_val"][:count]

    def _parts(self) -> Iterator[str]:
        yield ""
        yield ""
        yield "def parts():  # each epoch goes on where the last one stopped, to the end of a pass"
        yield INDENT + "while True:"
        yield INDENT * 2 + "batches = iter(loader)"
        yield INDENT * 2 + f"for start in range(0, len(loader), {self.steps}):"
        count = f"min({self.steps}, len(loader) - start)"
        yield INDENT * 3 + f"yield islice(batches, {self.steps}), {count}"
        yield ""
        yield ""
        yield "epochs = parts()"

    def _epoch(self) -> Iterator[str]:
        given = self.given
        if self.steps is not None:
            yield "batches, count = next(epochs)"
        yield "model.train()"
        if hasattr(self.plan.optimizer, "train"):
            yield "optimizer.train()"
        if self.schedule is not None and self.schedule.is_function:
            yield "optimizer.lr = schedule(updates)"
        if self.has_own_step:
            yield from self._own_epoch()
            return
        yield "total, rows = 0.0, 0"
        accumulating = given["accumulate"] > 1
        if accumulating:
            yield "waiting = 0  # rows whose gradients are not used yet"
        columns = "inputs, targets" + (", weight" if given["sample_weight"] else "")
        if accumulating:
            yield f"for number, ({columns}) in enumerate({self.batches}, 1):"
        else:
            yield f"for {columns} in {self.batches}:"
        yield from (INDENT + line for line in self._step())
        yield INDENT + "total, rows = total + loss.item() * len(targets), rows + len(targets)"
        yield from self._after_batches()
        yield 'print(f"epoch {epoch + 1}: loss {total / rows:.4f}")'
        if given["validation_split"] or given["validation"]:
            yield from self._validation()

    def _after_batches(self) -> Iterator[str]:
        if self.schedule is not None and self.schedule.each == "epoch":
            yield "schedule.step()"
        if hasattr(self.plan.optimizer, "eval"):
            yield "optimizer.eval()"

    # A model with a train_step of its own, which is called

    def _own_epoch(self) -> Iterator[str]:
        given = self.given
        yield "totals, rows = {}, 0"
        yield f"for number, batch in enumerate({self.batches}, 1):"
        if given["class_weight"] is not None:
            more = " * batch[2].reshape(len(batch[2]))" * bool(given["sample_weight"])
            yield INDENT + f"batch = (*batch[:2], {self._by_class('batch[1]')}{more})"
        if self.recipe:
            if given["accumulate"] > 1:
                yield INDENT + (
                    f"due = number % {given['accumulate']} == 0 or number == {self.count}"
                )
            due = "recipe if due else recipe.collecting()" if given["accumulate"] > 1 else "recipe"
            yield INDENT + f"with model.engine.following({due}):"
        yield INDENT * (2 if self.recipe else 1) + "logs = model.train_step(tuple(batch))"
        yield from (INDENT + line for line in self._added())
        yield from (INDENT + line for line in self._turned())
        yield from self._after_batches()
        yield 'shown = "  ".join(f"{name} {value / rows:.4f}" for name, value in totals.items())'
        yield 'print(f"epoch {epoch + 1}: {shown}")'
        if given["validation_split"] or given["validation"]:
            yield from self._own_validation()

    def _added(self) -> Iterator[str]:
        yield "rows += len(batch[0])"
        yield "for name, value in logs.items():"
        yield INDENT + "if isinstance(value, am.Tensor):"
        yield INDENT * 2 + ("totals[name] = totals.get(name, 0.0) + value.item() * len(batch[0])")

    def _own_validation(self) -> Iterator[str]:
        columns = self._held_out()
        yield "model.eval()"
        yield "totals, rows = {}, 0"
        yield "with am.no_grad():"
        size = max(self.given["batch_size"], 128)
        arrays = ", ".join(columns) + "," * (len(columns) == 1)
        yield INDENT + f"for batch in DataLoader(({arrays}), batch_size={size}):"
        yield INDENT * 2 + "logs = model.test_step(tuple(batch))"
        yield from (INDENT * 2 + line for line in self._added())
        yield 'shown = "  ".join(f"{name} {value / rows:.4f}" for name, value in totals.items())'
        yield 'print(f"  held out: {shown}")'

    def _step(self) -> Iterator[str]:
        given = self.given
        narrow = given["precision"] not in (None, "float32")
        if narrow:
            yield f"with am.autocast(am.{given['precision']}):"
        yield INDENT * narrow + "output = model(inputs)"
        if narrow and self.is_single:
            yield "output = output.float()  # in which losses are measured"
        if given["class_weight"] is not None:
            more = " * weight.reshape(len(targets))" * bool(given["sample_weight"])
            yield f"weight = {self._by_class('targets')}{more}"
        yield from self._fitted(True, given["sample_weight"] and given["class_weight"] is None)
        yield f"loss = {self._loss(self.weighted)}"
        unscale = ["scaler.unscale_(optimizer)"] if self.is_scaled else []
        if given["accumulate"] == 1:
            yield "scaler.scale(loss).backward()" if self.is_scaled else "loss.backward()"
            yield from unscale
            yield from self._update()
            return
        yield "before, waiting = waiting, waiting + len(targets)"
        yield "for parameter in optimizer.parameters():  # the mean over all rows, as of one batch"
        yield INDENT + "if parameter.grad is not None:"
        yield INDENT * 2 + "parameter.grad = parameter.grad * (before / waiting)"
        shared = "loss * (len(targets) / waiting)"
        yield f"scaler.scale({shared}).backward()" if self.is_scaled else f"({shared}).backward()"
        yield f"if number % {given['accumulate']} == 0 or number == {self.count}:"
        yield INDENT + "waiting = 0"
        yield from (INDENT + line for line in unscale)
        yield from (INDENT + line for line in self._update())

    def _by_class(self, targets: str) -> str:
        """The weights of the classes of rows."""
        labels = self.given["labels"]
        if labels is None:
            labels = "" if self.takes_classes or self.has_own_step else ".flatten().long()"
        return f"class_weight[{targets}{labels}.clip(-1, {max(self.given['class_weight']) + 1})]"

    def _fitted(self, trains: bool, weighted: bool) -> Iterator[str]:
        """Targets and weights in the shapes and dtypes in which the loss takes them."""
        losses = self.plan.losses
        if self.is_single and losses.changes[trains]:
            yield f"targets = targets{''.join(losses.changes[trains])}"
        if weighted and losses.weight_changes[trains]:
            yield f"weight = weight{''.join(losses.weight_changes[trains])}"

    def _update(self) -> Iterator[str]:
        if self.given["clip_norm"] is not None:
            yield f"clip_grad_norm_(optimizer.parameters(), {self.given['clip_norm']})"
        yield from (
            ["scaler.step(optimizer)", "scaler.update()"]
            if self.is_scaled
            else ["optimizer.step()"]
        )
        yield "optimizer.zero_grad()"
        yield from self._turned()

    def _turned(self) -> Iterator[str]:
        """A schedule that goes on at every update."""
        if self.schedule is not None and self.schedule.is_function:
            yield "updates += 1"
            yield "optimizer.lr = schedule(updates)"
        elif self.schedule is not None and self.schedule.each == "update":
            yield "schedule.step()"

    def _loss(self, weighted: bool) -> str:
        function = next((f for f in LOSSES.values() if f is self.plan.losses.spec), None)
        if function is None or self.has_own_loss:
            weight = "weight" if weighted else "None"
            return f"model.compute_loss(inputs, targets, output, {weight})"
        name = f"F.{function.__name__}"
        if weighted:
            rows = ".reshape(*weight.shape, *[1] * (output.ndim - weight.ndim))"
            rows = "" if self.takes_classes else rows
            return f'({name}(output, targets, reduction="none") * weight{rows}).mean()'
        return f"{name}(output, targets)"

    def _validation(self) -> Iterator[str]:
        yield "model.eval()"
        yield "total, rows = 0.0, 0"
        yield "with am.no_grad():"
        size = max(self.given["batch_size"], 128)
        columns = ", ".join(self._held_out())
        weighted = "sample_weight_val" in columns
        names = "inputs, targets" + ", weight" * weighted
        yield INDENT + f"for {names} in DataLoader(({columns}), batch_size={size}):"
        yield INDENT * 2 + "output, count = model(inputs), len(targets)"
        yield from (INDENT * 2 + line for line in self._fitted(False, weighted))
        yield INDENT * 2 + f"total += {self._loss(weighted)}.item() * count"
        yield INDENT * 2 + "rows += count"
        yield 'print(f"  held out: loss {total / rows:.4f}")'
