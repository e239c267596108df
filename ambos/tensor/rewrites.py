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
TEST = re.compile(r"assert (?P<c>[^,]+)")


def rewritten(line: str) -> str:
    """What is needed in place of `line`, which is quoted, and in general.

    Example:
        >>> rewritten("if loss > 1:").partition("; ")[0]
        'in `if loss > 1:` write am.cond(loss > 1, lambda: ..., lambda: ...)'
        >>> rewritten("y = x if x.sum() > 0 else -x").partition("; ")[0]
        'in `y = x if x.sum() > 0 else -x` write y = am.where(x.sum() > 0, x, -x)'
    """
    if not line:
        return GENERAL
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
    else:
        return f"in `{line}`; {GENERAL}"
    return f"in `{line}` write {instead}; {GENERAL}"
