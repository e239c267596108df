"""A line that looks at a value inside a traced function, and what to write instead."""

from __future__ import annotations

import re

GENERAL = (
    "need tensor operations: am.where(condition, a, b) or am.cond(condition, lambda: a, lambda: b) "
    "in place of if; or return the value and look at it outside"
)
CHOICE = re.compile(r"(?P<start>return |[\w.\[\], ]+ = )?(?P<a>.+) if (?P<c>.+) else (?P<b>.+)")
BRANCH = re.compile(r"(?:el)?if (?P<c>.+?):")
LOOP = re.compile(r"while (?P<c>.+?):")
COUNT = re.compile(r"\brange\((?P<r>(?:[^()]|\([^()]*\))+)\)")
PART = re.compile(r"(?P<x>\w+)\[[^\[\]]*:[^\[\]]*\]")
LOOK = re.compile(r"\b(?:int|float|bool)\((\w+)\)|\b(\w+)\.item\(\)")
TEST = re.compile(r"assert (?P<c>[^,]+)")


def rewritten(line: str) -> str:
    """What is needed in place of `line`, which is quoted, and in general.

    Example:
        >>> rewritten("if loss > 1:").partition("; ")[0]
        'in `if loss > 1:` write am.cond(loss > 1, lambda: ..., lambda: ...)'
        >>> rewritten("y = x if x.sum() > 0 else -x").partition("; ")[0]
        'in `y = x if x.sum() > 0 else -x` write y = am.where(x.sum() > 0, x, -x)'
        >>> rewritten("for i in range(2, int(n)):").partition("; ")[0]
        'in `for i in range(2, int(n)):` write am.fori_loop(2, n, lambda i, state: ..., state)'
    """
    if not line:
        return GENERAL
    counted, part = COUNT.search(line), PART.search(line)
    branch, loop, test = BRANCH.match(line), LOOP.match(line), TEST.match(line)
    choice = CHOICE.fullmatch(line) if branch is None and "lambda" not in line else None
    if branch is not None:
        instead = f"am.cond({branch['c']}, lambda: ..., lambda: ...)"
    elif loop is not None:
        instead = f"am.while_loop(lambda state: {loop['c']}, body, state)"
    elif test is not None:
        instead = f"return {test['c']} and assert it outside"
    elif choice is not None:
        start = choice["start"] or ""
        instead = f"{start}am.where({choice['c']}, {choice['a']}, {choice['b']})"
    elif counted is not None:
        bounds = LOOK.sub(r"\1\2", counted["r"]).split(", ")
        first, last = bounds if len(bounds) == 2 else ("0", bounds[0])
        instead = f"am.fori_loop({first}, {last}, lambda i, state: ..., state)"
    elif part is not None:
        instead = (f"am.dynamic_slice_in_dim({part['x']}, start, size), with a size that is "
                   "Python's")  # fmt: skip
    else:
        return f"in `{line}`; {GENERAL}"
    return f"in `{line}` write {instead}; {GENERAL}"
