"""`fit` written out as a plain loop, for whoever wants to go on from there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ambos.core import tree
from ambos.core.errors import ArgumentError
from ambos.optim import LBFGS
from ambos.train.alignment import Kind, label_changes, weight_changes
from ambos.train.asked import settings, variants
from ambos.train.names import LOSSES
from ambos.train.noted import Columns
from ambos.train.plan import takes_classes
from ambos.train.reading import INDENT, NAMES, Batches, Reading, Rows, is_tree, length
from ambos.train.recipe import Recipe
from ambos.train.step import takes_names
from ambos.train.stepping import is_own


def loop_of(model: Any, arguments: Mapping[str, Any]) -> str:
    """The text of the loop; where there were batches of several kinds, that which is for all.

    Errors: as `settings`; ArgumentError where there is none for all.
    """
    given = settings(model, arguments)
    found = {Writer(model, each).text() for each in variants(given, model)}
    if len(found) > 1:
        raise ArgumentError(
            "loop_source: the batches of the last fit differ in what has to be done to them, as "
            "with targets (N,) in some and (N, 1) in others; need batches of one kind, or "
            "am.loop(model, batches)"
        )
    return found.pop()


def indented(lines: Iterator[str], depth: int = 1) -> Iterator[str]:
    """The same lines, further in."""
    return (INDENT * depth + line for line in lines)


class Writer:
    """The text of a loop that does what `fit` does where it is `given` these arguments."""

    def __init__(self, model: Any, given: Mapping[str, Any]) -> None:
        self.model, self.plan, self.given = model, model.plan, given
        self.dtype, self.schedule = model.float_dtype.name, self.plan.schedule
        self.recipe: Recipe = given["recipe"]
        self.columns: Columns = given["columns"]
        self.held_out: Columns = given["held_out"] or {}
        if given["validation_split"]:
            self.held_out = self.columns
        self.reading, self.held_out_reading = self._reading(), self._held_out_reading()
        self.is_scaled = self.recipe.precision == "float16"
        self.has_own_step = is_own(model, "train_step")
        has_batches = given["batches"] is not None or given["held_out_batches"] is not None
        self.is_brief = self.dtype == "bfloat16" or (self.dtype == "float16" and has_batches)
        function = next((f for f in LOSSES.values() if f is self.plan.losses.spec), None)
        has_own_loss = is_own(model, "compute_loss") or is_own(model, "losses_of")
        # The name of the loss; None where the model has to be asked for it.
        self.loss: str | None = None
        if function is not None and not has_own_loss and not self.plan.losses.has_several:
            self.loss = f"F.{function.__name__}"
        self._check()

    def _reading(self) -> Reading:
        given, note, steps = self.given, self.given["batches"], self.given["steps_per_epoch"]
        if note is not None:
            return Batches(self.columns, "", steps, note, given["batches present"])
        seed = "" if given["seed"] is None else f", seed={given['seed']}"
        order = f", shuffle=True{seed}" if given["shuffle"] else ""
        return Rows(self.columns, "", steps, given["batch_size"], order)

    def _held_out_reading(self) -> Reading:
        given, note = self.given, self.given["held_out_batches"]
        steps = given["validation_steps"]
        if note is not None:
            present = given["held_out_batches present"]
            return Batches(self.held_out, "_val", steps, note, present)
        size = given["validation_batch_size"] or max(given["batch_size"], 128)
        return Rows(self.held_out, "_val", steps, size)

    def _check(self) -> None:
        if isinstance(self.plan.optimizer, LBFGS) and not self.has_own_step:
            raise ArgumentError(
                "loop_source: LBFGS asks for the loss at several weights in an update, which the "
                "plain loop does not; need another optimizer, or am.loop(model, x, y)"
            )

    def text(self) -> str:
        """All of it."""
        body = [*self._head(), *self._preparation(), ""]
        body.append(f"for epoch in range({self.given['initial_epoch']}, {self.given['epochs']}):")
        body += [INDENT + line if line else "" for line in self._epoch()]
        return re.sub("\n{3,}", "\n\n\n", "\n".join(body)) + "\n"

    @property
    def follows(self) -> str:
        """What the usual step heeds, which a step of the model's own may call."""
        settings = {name: getattr(self.recipe, name)
                    for name in ("accumulate", "clip_norm", "precision")}  # fmt: skip
        asked = {name: value for name, value in settings.items() if value not in (None, 1)}
        return ", ".join(f"{n}={v!r}" for n, v in asked.items()) if self.has_own_step else ""

    def _head(self) -> Iterator[str]:
        yours = "`x`, the batches," if self.given["batches"] else "`x` and `y`"
        yield f"# What model.fit does, written out: `model` and {yours} are yours."
        readings = [self.reading, *[self.held_out_reading] * bool(self.held_out)]
        tools = ["islice"] * any(reading.steps is not None for reading in readings)
        if self.given["batches"] and self.reading.steps is not None:
            tools = ["chain", *tools]
        if tools:
            yield f"from itertools import {', '.join(tools)}"
            yield ""
        yield "import ambos as am"
        yield "import ambos.nn.functional as F"
        made = [reading.expression for reading in readings if reading.loader != reading.expression]
        classes = ["DataLoader"] * bool(made) + ["Dataset"] * ("Dataset." in "".join(made))
        if classes:
            yield f"from ambos.data import {', '.join(classes)}"
        if self.recipe.clip_norm is not None and not self.has_own_step:
            yield "from ambos.nn.utils import clip_grad_norm_"
        if self._takes_integers(self.columns) or self._takes_integers(self.held_out):
            yield "from ambos.tensor.autocast import integers_as_floats"
        if self.follows:
            yield "from ambos.train.recipe import Recipe"

    def _preparation(self) -> Iterator[str]:
        yield from self._data()
        yield from self._loader()
        yield "optimizer = model.optimizer"
        yield "if not optimizer.param_groups:"
        yield INDENT + "optimizer.attach(model.named_parameters())"
        yield "model.zero_grad()" if self.has_own_step else "optimizer.zero_grad()"
        if self.recipe.class_weight:
            weights = dict(self.recipe.class_weight)
            table = [weights.get(label, 1.0) for label in range(max(weights) + 2)]
            wide = f".to(am.{self.dtype})" * (self.dtype != "float32")
            yield f"class_weight = am.tensor({table}){wide}  # by class; the last: of any other"
        if self.follows:
            yield f"recipe = Recipe({self.follows})"
            yield "model.engine.prepare(model, recipe)"
        elif self.is_scaled:
            yield "scaler = am.GradScaler()"
        if self.schedule is not None:
            yield "schedule = model.plan.schedule.given"
            if self.schedule.is_function:
                yield "updates = 0"

    # Data

    def _data(self) -> Iterator[str]:
        yield ""
        yield ""
        dtype = "float32" if self.dtype == "bfloat16" else self.dtype
        yield "def ready(rows):  # a tensor; floating numbers in the model's dtype"
        if self.is_brief:
            yield INDENT + "if isinstance(rows, am.Tensor):"
            yield INDENT * 2 + "return rows"
        yield INDENT + "rows = am.asarray(rows)"
        yield INDENT + f"return rows.to(am.{dtype}) if rows.dtype.is_floating else rows"
        yield ""
        yield ""
        if self.is_brief:
            yield "def narrow(part):  # to the model's dtype; numbers of classes stay what they are"
            yield INDENT + f"to = lambda rows: rows.to(am.{self.dtype})"
            yield INDENT + ("return am.tree.map(lambda rows: to(rows) if rows.dtype.is_floating "
                            "else rows, part)")  # fmt: skip
            yield ""
            yield ""
        yield from self.reading.prepared(self._is_cut(self.columns, self.recipe.class_weight))
        if not self.given["validation_split"]:
            yield from self.held_out_reading.prepared(self._is_cut(self.held_out))
            return
        count = length("x", self.columns["x"])
        yield f"kept = int({count} * (1.0 - {self.given['validation_split']}))"
        for name, kinds in self.columns.items():
            if is_tree(kinds):
                yield f"{name}_val = am.tree.map(lambda rows: rows[kept:], {name})"
                yield f"{name} = am.tree.map(lambda rows: rows[:kept], {name})"
            else:
                yield f"{name}_val, {name} = {name}[kept:], {name}[:kept]"

    def _is_cut(self, columns: Columns, by_class: Any = ()) -> bool:
        """Are targets floating numbers that are made integers, as numbers of classes?"""
        kinds = columns.get("y")
        if not isinstance(kinds, Kind) or not kinds.dtype.startswith("float"):
            return False
        return ".long()" in (*self._changes(kinds), *(label_changes(kinds) if by_class else ()))

    def _changes(self, kinds: Any) -> tuple[str, ...]:
        """What is done to such targets for the loss."""
        if self.loss is None or self.has_own_step:  # the model does it then
            return ()
        return self.plan.losses.changes.get(kinds, ()) if isinstance(kinds, Kind) else ()

    def _loader(self) -> Iterator[str]:
        reading = self.reading
        yield from reading.made()
        if self.given["initial_epoch"] and not self.given["batches"]:
            yield f"loader.set_epoch({self.given['initial_epoch']})"
        if self.held_out:
            yield from self.held_out_reading.made()
        if reading.steps is not None:
            yield from ("", "", *reading.parted(), "", "")
            yield "epochs = parts()"
        if self.recipe.accumulate > 1:
            yield from reading.told()

    # An epoch

    def _epoch(self) -> Iterator[str]:
        if self.reading.steps is not None:
            yield from self.reading.begun()
        yield "model.train()"
        if hasattr(self.plan.optimizer, "train"):
            yield "optimizer.train()"
        if self.schedule is not None and self.schedule.is_function:
            yield "optimizer.lr = schedule(updates)"
        yield from self._own_batches() if self.has_own_step else self._batches()
        if not self.held_out:
            return
        condition = validated(self.given["validation_freq"])
        if condition:
            yield f"if {condition}:"
        validation = self._own_validation() if self.has_own_step else self._validation()
        yield from indented(validation, 1 if condition else 0)

    def _batches(self) -> Iterator[str]:
        count = length("targets", self.columns.get("y"))
        yield "total, rows = 0.0, 0"
        collects = self.recipe.accumulate > 1
        if collects:
            yield "waiting = 0  # rows whose gradients are not used yet"
        yield self.reading.heading(collects)
        is_cut = self._is_cut(self.columns, self.recipe.class_weight)
        yield from indented(self.reading.received(is_cut))
        yield from indented(self._step(count))
        yield INDENT + f"total, rows = total + loss.item() * {count}, rows + {count}"
        yield from self._after_batches()
        yield 'print(f"epoch {epoch + 1}: loss {total / rows:.4f}")'

    def _after_batches(self) -> Iterator[str]:
        if self.schedule is not None and self.schedule.each == "epoch":
            yield "schedule.step()"
        if hasattr(self.plan.optimizer, "eval"):
            yield "optimizer.eval()"

    def _step(self, count: str) -> Iterator[str]:
        yield from self._forward(self.columns, self.recipe.precision)
        yield from self._measured(self.columns, self.recipe.class_weight)
        unscale = ["scaler.unscale_(optimizer)"] if self.is_scaled else []
        if self.recipe.accumulate == 1:
            yield "scaler.scale(loss).backward()" if self.is_scaled else "loss.backward()"
            yield from unscale
            yield from self._update()
            return
        yield f"before, waiting = waiting, waiting + {count}"
        yield "for parameter in optimizer.parameters():  # the mean over all rows, as of one batch"
        yield INDENT + "if parameter.grad is not None:"
        yield INDENT * 2 + "parameter.grad = parameter.grad * (before / waiting)"
        shared = f"loss * ({count} / waiting)"
        yield f"scaler.scale({shared}).backward()" if self.is_scaled else f"({shared}).backward()"
        yield f"if number % {self.recipe.accumulate} == 0 or {self.reading.last}:"
        yield INDENT + "waiting = 0"
        yield from indented(iter([*unscale, *self._update()]))

    def _forward(self, columns: Columns, precision: str | None = None) -> Iterator[str]:
        """From inputs to the output, in the dtype in which losses are measured."""
        kinds, stars = columns["x"], ""
        if self.is_brief:
            whole = ("y",) * self.plan.losses.takes_classes  # these are not rounded
            yield from (f"{NAMES[n]} = narrow({NAMES[n]})" for n in columns if n not in whole)
        if isinstance(kinds, tuple):
            stars = "*"
        elif isinstance(kinds, Mapping) and takes_names(self.model, kinds):
            stars = "**"
        managers = ["integers_as_floats()"] * self._takes_integers(columns)
        if precision is not None:
            managers.append(f"am.autocast(am.{precision})")
        if managers:
            yield f"with {', '.join(managers)}:"
        yield INDENT * bool(managers) + f"output = model({stars}inputs)"
        if precision is None or self.dtype == "float64":
            return
        if self.loss is not None:
            yield "output = output.float()  # in which losses are measured"
            return
        yield f"narrow = am.{precision}  # losses are measured in float32"
        yield ("output = am.tree.map(lambda part: part.float() if part.dtype is narrow else part, "
               "output)")  # fmt: skip

    def _takes_integers(self, columns: Columns) -> bool:
        """Do layers take integers among these inputs for floating numbers?"""
        if self.has_own_step or not columns or not self.model.engine.casts_integers:
            return False
        kinds = columns["x"]
        return kinds is None or not all(k.dtype.startswith("float") for k in tree.leaves(kinds))

    def _by_class(self, targets: str, weight: str) -> str:
        """The weights of rows by the classes of their `targets`, times their own."""
        kind, own = self.columns.get("y"), self.columns.get("sample_weight")
        by_class = "".join(label_changes(kind)) if isinstance(kind, Kind) else ""
        last = max(dict(self.recipe.class_weight)) + 1
        found = f"class_weight[{targets}{by_class}.clip(-1, {last})]"
        if "sample_weight" not in self.columns:
            return found
        changes = weight_changes(own) if isinstance(own, Kind) else ()
        steps = len(own.shape) - len(changes) if isinstance(own, Kind) else 0
        column = f".reshape(-1{', 1' * steps})" if steps else ""
        return f"{found}{column} * {weight}{''.join(changes)}"

    def _measured(self, columns: Columns, by_class: Any = ()) -> Iterator[str]:
        """From output and targets to the loss."""
        is_weighted, kind = bool(by_class) or "sample_weight" in columns, columns.get("y")
        if by_class:
            yield f"weight = {self._by_class('targets', 'weight')}"
        if self.loss is None:
            given = f"(inputs, targets, output, {'weight' if is_weighted else None})"
            has_several = is_own(self.model, "losses_of")
            method, part = ("losses_of", '["loss"]') if has_several else ("compute_loss", "")
            yield f"loss = model.{method}{given}{part}"
            return
        changes = self._changes(kind)
        if changes:
            yield f"targets = targets{''.join(changes)}"
        if not is_weighted:
            yield f"loss = {self.loss}(output, targets)"
            return
        own = columns.get("sample_weight")
        changes = weight_changes(own) if isinstance(own, Kind) and not by_class else ()
        if changes:
            yield f"weight = weight{''.join(changes)}"
        losses = f'{self.loss}(output, targets, reduction="none")'
        if takes_classes(self.plan.losses.spec) and isinstance(kind, Kind) and not kind.shape:
            yield f"loss = ({losses} * weight).mean()"
            return
        yield f"losses = {losses}"
        yield "more = [1] * (losses.ndim - weight.ndim)"
        yield "loss = (losses * weight.reshape(*weight.shape, *more)).mean()"

    def _update(self) -> Iterator[str]:
        if self.recipe.clip_norm is not None:
            yield f"clip_grad_norm_(optimizer.parameters(), {float(self.recipe.clip_norm)})"
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

    def _validation(self) -> Iterator[str]:
        yield "model.eval()"
        yield "total, rows = 0.0, 0"
        yield "with am.no_grad():"
        yield INDENT + self.held_out_reading.held_out()
        yield from indented(self.held_out_reading.received(self._is_cut(self.held_out)), 2)
        yield from indented(self._forward(self.held_out), 2)
        yield INDENT * 2 + f"size = {length('targets', self.held_out['y'])}"
        yield from indented(self._measured(self.held_out), 2)
        yield INDENT * 2 + "total, rows = total + loss.item() * size, rows + size"
        yield 'print(f"  held out: loss {total / rows:.4f}")'

    # A model with a train_step of its own, which is called

    def _own_batches(self) -> Iterator[str]:
        recipe = self.recipe
        yield "totals, rows = {}, 0"
        collects = recipe.accumulate > 1
        yield self.reading.heading(collects, as_one=True)
        is_cut = self._is_cut(self.columns, recipe.class_weight)
        yield from indented(self.reading.received(is_cut, as_one=True))
        if self.is_brief:
            yield INDENT + self._own_narrowed
        if recipe.class_weight:
            yield INDENT + f"batch = (*batch[:2], {self._by_class('batch[1]', 'batch[2]')})"
        if self.follows:
            due = "recipe"
            if collects:
                yield INDENT + f"due = number % {recipe.accumulate} == 0 or {self.reading.last}"
                due = "recipe if due else recipe.collecting()"
            yield INDENT + f"with model.engine.following({due}):"
        step = f"logs = model.train_step({self.reading.handed})"
        yield INDENT * (2 if self.follows else 1) + step
        yield from indented(self._added())
        turned = [*self._turned()]
        if turned and collects:
            yield INDENT + "if due:"
        yield from indented(iter(turned), 2 if collects else 1)
        yield from self._after_batches()
        shown = '"  ".join(f"{name} {value / rows:.4f}" for name, value in totals.items())'
        yield f"shown = {shown}"
        yield 'print(f"epoch {epoch + 1}: {shown}")'

    @property
    def _own_narrowed(self) -> str:
        if self.plan.losses.takes_classes:
            return "batch = (narrow(batch[0]), *batch[1:2], *map(narrow, batch[2:]))"
        return "batch = tuple(map(narrow, batch))"

    def _added(self) -> Iterator[str]:
        yield f"size = {length('batch[0]', self.columns['x'])}"
        yield "rows += size"
        yield "for name, value in logs.items():"
        yield INDENT + "if isinstance(value, am.Tensor):"
        yield INDENT * 2 + "totals[name] = totals.get(name, 0.0) + value.item() * size"

    def _own_validation(self) -> Iterator[str]:
        yield "model.eval()"
        yield "totals, rows = {}, 0"
        yield "with am.no_grad():"
        yield INDENT + self.held_out_reading.held_out(as_one=True)
        yield from indented(self.held_out_reading.received(False, as_one=True), 2)
        if self.is_brief:
            yield INDENT * 2 + self._own_narrowed
        yield INDENT * 2 + f"logs = model.test_step({self.held_out_reading.handed})"
        yield from indented(self._added(), 2)
        shown = '"  ".join(f"{name} {value / rows:.4f}" for name, value in totals.items())'
        yield f"shown = {shown}"
        yield 'print(f"  held out: {shown}")'


def validated(freq: Any) -> str:
    """The condition on which there is validation after an epoch; "" where there always is."""
    if freq == 1:
        return ""
    return f"epoch + 1 in {freq}" if isinstance(freq, list) else f"(epoch + 1) % {freq} == 0"
