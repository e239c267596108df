"""Architectures in files of earlier versions, as this one writes them."""

from __future__ import annotations

from typing import Any

Json = Any
COUNT = 2_147_483_629  # in version 1 this prime stood for the number of examples
HALF = COUNT // 2
FEW = 1 << 20  # how far from it, and how many times it, a number may be


def modern(graph: Json) -> Json:
    """The graph of a functional model with sizes in place of the stand-in of version 1.

    Example:
        >>> steps = [
        ...     {"input": "x", "shape": [3], "batch_size": None, "dtype": "float32"},
        ...     {"op": "reshape", "attrs": [{"tuple": [3 * COUNT]}], "of": [0]},
        ... ]
        >>> modern({"steps": steps})["steps"][1]["attrs"]
        [{'tuple': [{'made': 'mul', 'of': [3, {'size': [0, 0]}]}]}]
    """
    if "version" in graph:
        return graph
    places = [place for place, step in enumerate(graph["steps"]) if "input" in step]
    open_ended = [place for place in places if graph["steps"][place]["batch_size"] is None]
    if not open_ended:
        return graph
    count = {"size": [open_ended[0], 0]}
    steps = [_replaced(step, count, step.get("op") == "constant") for step in graph["steps"]]
    return {**graph, "steps": steps}


def _replaced(value: Json, count: Json, is_number: bool) -> Json:
    if isinstance(value, dict):
        return {
            key: each if key in ("of", "node", "data") else _replaced(each, count, is_number)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_replaced(each, count, is_number) for each in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value:
        return value
    if isinstance(value, int) and not is_number:
        return _made(value, count) if abs(value) >= HALF else value
    if _is_of_count(value):
        whole = _made(int(value), count)
        return whole if isinstance(value, int) else {"made": "as_float", "of": [whole]}
    if not HALF < abs(1 / value) < COUNT * FEW:
        return value
    share = round(1 / value)
    if not _is_of_count(share) or abs(1 / value - share) > 4e-16 * abs(share):
        return value
    return {"made": "truediv", "of": [1, _made(share, count)]}


def _made(value: int, count: Json) -> Json:
    """3 * COUNT - 1 as a size."""
    times, rest = divmod(value + HALF, COUNT)
    size = count if times == 1 else {"made": "mul", "of": [times, count]}
    return size if rest == HALF else {"made": "add", "of": [size, rest - HALF]}


def _is_of_count(value: float) -> bool:
    """Was a number that is no size made of COUNT, as far as can be told?"""
    if not HALF < abs(value) < COUNT * FEW or value != int(value):
        return False
    whole = abs(int(value))
    rest = (whole + HALF) % COUNT - HALF
    return abs(rest) < FEW and bool(whole & (whole - 1)) and bool(whole & (whole + 1))
