"""Models to files and back: all or nothing in both directions."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from ambos import nn
from ambos.core.errors import AmbosError, FormatError, depth_of_user
from ambos.core.version import __version__
from ambos.nn.module import portable
from ambos.optim import BY_NAME
from ambos.tensor.files import check_name
from ambos.tensor.handle import Tensor
from ambos.train import files, metrics
from ambos.train.architecture import LAYERS, build, describe
from ambos.train.names import LOSSES
from ambos.train.sizes import unsized

OPTIMIZER = "optimizer/"


def written_plan(
    loss: Any, measures: Any, loss_weights: Any = None, weighted_metrics: Any = None
) -> dict[str, Any]:
    """What `compile` got, with functions as names; None where one is the user's own."""
    plan = {"loss": _named(loss, LOSSES), "metrics": _named(measures, {})}
    if loss_weights is not None:
        plan["loss_weights"] = loss_weights
    if weighted_metrics is not None:
        plan["weighted_metrics"] = _named(weighted_metrics, {})
    return plan


def _named(given: Any, known: Mapping[str, Any]) -> Any:
    """Names, functions, losses and metrics of ambos, and lists and dicts of them, as plain data."""
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, type) and issubclass(given, (nn.Module, metrics.Metric)):
        given = given()
    if isinstance(given, nn.Module):
        loss = describe(given) if type(given).__name__ in LAYERS else None
        return None if loss is None else {"module": loss}
    if isinstance(given, metrics.Metric):
        args, kwargs = vars(given)["_made_with"]
        name = type(given).__name__
        if getattr(metrics, name, None) is not type(given) or not portable((args, kwargs)):
            return None
        return {"metric": {"class": name, "args": list(args), "kwargs": kwargs}}
    if isinstance(given, Mapping):
        found = {key: _named(each, known) for key, each in given.items()}
        return None if None in found.values() else found
    if isinstance(given, (list, tuple)):
        names = [_named(each, known) for each in given]
        return None if None in names else names
    return _name_of(given, known)


def _again(written: Any) -> Any:
    """What `_named` wrote, made again."""
    if isinstance(written, list):
        return [_again(each) for each in written]
    if not isinstance(written, dict):
        return written
    module, metric = written.get("module"), written.get("metric")
    if isinstance(module, dict) and "class" in module:
        return build(module, {})
    if isinstance(metric, dict) and "class" in metric:
        if metric["class"] not in metrics.__all__:
            raise FormatError(f"load: the file has a metric {metric['class']!r}, which is unknown")
        made = getattr(metrics, metric["class"])
        return made(*metric["args"], **metric["kwargs"])
    return {key: _again(each) for key, each in written.items()}


def _name_of(function: Any, known: Mapping[str, Any]) -> str | None:
    return next((name for name, value in known.items() if value is function), None)


def save(model: Any, path: str | os.PathLike[str], include_optimizer: bool) -> str:
    """Write `model`; returns where."""
    place = files.place(path)
    check_name("save", place, are_models=True)
    tensors = dict(model.state_dict())
    config: dict[str, Any] = {
        "version": __version__,
        "architecture": describe(model.__dict__.get("network") or model),
        "wrapped": model.__dict__.get("network") is not None,
        "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
    }
    plan = model.__dict__.get("_plan")
    if plan is not None and include_optimizer:
        rule = plan.optimizer
        _warn_of_omissions(plan)
        state = rule.state_dict()
        config["plan"] = plan.config | {
            "optimizer": type(rule).__name__.lower() if type(rule) in BY_NAME.values() else None,
            "groups": [group | {"lr": float(group["lr"])} for group in state["param_groups"]],
            "numbers": {},
        }
        for number, entries in state["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"{OPTIMIZER}{number}/{key}"] = value
                else:
                    config["plan"]["numbers"].setdefault(str(number), {})[key] = value
    files.write(place, tensors, config)
    return str(place)


def _warn_of_omissions(plan: Any) -> None:
    """Say what a file cannot hold: code."""
    left_out = []
    if plan.loss is None:
        left_out.append("what compile was given besides a loss")
    elif plan.config["loss"] is None:
        left_out.append(f"the loss {_title(plan.loss)}")
    if plan.config["metrics"] is None:
        left_out.append(f"the metrics {', '.join(m.name for m in plan.metrics.each())}")
    if type(plan.optimizer) not in BY_NAME.values():
        left_out.append(f"the optimizer {type(plan.optimizer).__name__}")
    if plan.schedule is not None:
        left_out.append("the schedule of the learning rate")
    if left_out:
        warnings.warn(
            f"save: {' and '.join(left_out)} cannot be written to a file; weights and "
            "architecture are. After loading, call compile before you train on",
            stacklevel=depth_of_user(),
        )


def _title(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def load(
    path: str | os.PathLike[str], classes: Mapping[str, type], wrap: Callable[[Any], Any]
) -> Any:
    """A new model from a file that `save` wrote; `wrap` makes a Model of a plain module.

    Errors: FormatError where the file is damaged, foreign, or needs classes that are not given.
    """
    place = files.place(path)
    tensors, config = files.read(place)
    description = config.get("architecture")
    if description is None:
        raise FormatError(
            f"load: {place} has weights but no architecture (its module cannot be described); "
            "make the model as you did before and call model.load(path)"
        )
    module = build(description, classes)
    model = wrap(module) if config.get("wrapped") else module
    _restore(model, place, tensors, config)
    return model


def load_into(model: Any, path: str | os.PathLike[str]) -> Any:
    """Weights and training state into an existing model, which is unchanged after an error."""
    place = files.place(path)
    tensors, config = files.read(place)
    config.pop("frozen", None)  # who made the model has said what is trained
    if unsized(model):  # there is no way back from sizes: try it on a copy
        _restore(copy.deepcopy(model), place, tensors, config)
    _restore(model, place, tensors, config)
    return model


def _restore(model: Any, place: Any, tensors: Mapping[str, Tensor], config: dict[str, Any]) -> None:
    weights = {k: v for k, v in tensors.items() if not k.startswith(OPTIMIZER)}
    before = model.state_dict() if not unsized(model) else None
    plan_before = {key: model.__dict__.get(key) for key in ("_plan", "optimizer")}
    try:
        model.load_state_dict(weights)
        if "frozen" in config:  # older files do not say
            _freeze(model, config["frozen"])
        if config.get("plan"):
            _restore_plan(model, tensors, config["plan"])
    except (AmbosError, LookupError, TypeError, ValueError, AttributeError) as error:
        if before is not None:
            model.load_state_dict(before)
        for key, value in plan_before.items():
            if value is None:
                model.__dict__.pop(key, None)
            else:
                model.__dict__[key] = value
        said = getattr(error, "message", str(error))
        problem = said.removesuffix(". Nothing was changed")
        raise FormatError(
            f"load: {place} does not fit {type(model).__name__}: {problem}; nothing was changed"
        ) from error


def _freeze(model: Any, frozen: list[str]) -> None:
    """Train all parameters but these."""
    parameters = dict(model.named_parameters())
    strange = set(frozen).difference(parameters)
    if strange:
        raise FormatError(f"{min(strange)!r} is frozen in the file, which is no parameter")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name not in frozen)


def _restore_plan(model: Any, tensors: Mapping[str, Tensor], plan: dict[str, Any]) -> None:
    """Compile as before; functions of the user's own are not in the file."""
    if plan["optimizer"] is None or plan["loss"] is None or plan["metrics"] is None:
        return
    more = {key: _again(plan[key]) for key in ("loss_weights", "weighted_metrics") if key in plan}
    rule = BY_NAME[plan["optimizer"]]()
    model.compile(rule, _again(plan["loss"]), _again(plan["metrics"]), **more)
    rule = model.optimizer
    groups = [dict(group) for group in plan["groups"]]
    for group in groups:
        if "betas" in group:
            group["betas"] = tuple(group["betas"])
    if not groups:
        return
    parameters = list(model.parameters())
    for group in groups:
        numbers = group["params"]
        settings = {key: value for key, value in group.items() if key != "params"}
        rule.add_param_group({"params": [parameters[n] for n in numbers], **settings})
    old = {number: {"step": step} for number, step in plan.get("steps", {}).items()}  # of 0.1
    numbers = plan.get("numbers", old)
    state: dict[int, dict[str, Any]] = {int(n): dict(s) for n, s in numbers.items()}
    for name, value in tensors.items():
        if name.startswith(OPTIMIZER):
            number, key = name.removeprefix(OPTIMIZER).split("/")
            state.setdefault(int(number), {})[key] = value
    rule.load_state_dict({"state": state, "param_groups": groups})
    rule.defaults.update({k: v for k, v in groups[0].items() if k != "params"})
