"""What a printed loop is to do: what the last `fit` was given and found, or is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ambos.core.errors import ArgumentError, UnknownNameError, suggest
from ambos.train.recipe import Recipe, recipe_of

USUAL: dict[str, Any] = {
    "batch_size": 32,
    "epochs": 1,
    "shuffle": True,
    "seed": None,
    "initial_epoch": 0,
    "steps_per_epoch": None,
    "validation_split": 0.0,
    "validation_steps": None,
    "validation_batch_size": None,
    "validation_freq": 1,
}  # what is written where nothing is said
CHANGING = {"accumulate": 1, "clip_norm": None, "precision": None, "class_weight": None}
FACTS: dict[str, Any] = {
    "recipe": Recipe(),
    "columns": {"x": None, "y": None},  # trees of Kinds; None where they are not known
    "held_out": {},  # those of validation data
    "batches": None,  # a Note, where x was an iterable of batches
    "held_out_batches": None,  # and the same of validation data
}  # what the last `fit` found, beside what it was given
OF_ROWS = ("batch_size", "shuffle", "seed", "sample_weight", "validation_split")  # arrays have them


def variants(given: Mapping[str, Any], model: Any) -> Iterator[Mapping[str, Any]]:
    """`given` for each kind of batch that came.

    Errors: ArgumentError where none did.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name, columns in (("batches", "columns"), ("held_out_batches", "held_out")):
        if given[name] is not None:
            kinds = given[name].variants(model)
            found[name] = [{columns: each, f"{name} present": there} for there, each in kinds]
    if found.get("batches") == []:
        raise ArgumentError(
            "loop_source: no batch came in the last fit, so that what they are is not known; need "
            "model.fit(...) with some"
        )
    first = dict(given)
    for name, others in found.items():  # of held-out batches there may be none yet
        first |= others[0] if others else {name: None}
    yield first
    yield from ({**first, **other} for others in found.values() for other in others[1:])


def settings(model: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is written: `arguments` of `fit`, or those of the last one where there are none.

    Errors: UnknownNameError for others, and as `fit`.
    """
    plan = model.plan
    if not arguments:
        return USUAL | FACTS | plan.fitted
    given, batches = dict(arguments), plan.fitted.get("batches")
    for name in OF_ROWS if batches is not None else ():
        if name in given:
            raise ArgumentError(
                f"loop_source: {name}, and the last fit read an iterable of batches; need "
                "arguments that do not change batches, or model.fit(...) on arrays first"
            )
    known = plan.fitted.get("columns", {})
    columns = {"x": known.get("x"), "y": known.get("y")}
    if given.pop("sample_weight", None) is not None:
        columns["sample_weight"] = known.get("sample_weight")
    names = (*USUAL, *CHANGING)
    strange = [name for name in given if name not in names]
    if strange:
        raise UnknownNameError(
            f"loop_source: unknown argument {strange[0]!r}; known: {', '.join(names)}"
            f"{suggest(strange[0], names)}"
        )
    changing = {name: given.pop(name, usual) for name, usual in CHANGING.items()}
    recipe = recipe_of("loop_source", plan.optimizer, **changing)
    return USUAL | FACTS | given | {"recipe": recipe, "columns": columns, "batches": batches}
