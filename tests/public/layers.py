"""Typical mistakes, made with every layer that PyTorch's database of modules has a sample of: what
comes is a result or an error of ours, from the constructor or the call.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from ambos.core.errors import AmbosError
from tests.parity import modules
from tests.parity.check import quiet
from tests.public.mistakes import STRANGE

# Asked for so many channels or layers, these begin to make them.
PATIENT = "a huge number"


def wrong_calls(name: str) -> Iterator[tuple[str, list[Any], dict[str, Any], list[Any]]]:
    """What is wrong; the arguments of the constructor, and those of the call."""
    sample = modules.samples(name, True, 1)[0]
    made, called = (modules.Built.of(x) for x in (sample.constructor_input, sample.forward_input))
    settings, inputs = [*made.args], [*called.args]
    for what, strange in STRANGE.items():
        if what != PATIENT:
            for place in range(len(settings)):
                changed = [*settings[:place], strange(), *settings[place + 1 :]]
                yield f"argument {place + 1} is {what}", changed, made.kwargs, inputs
            for keyword in made.kwargs:
                yield f"{keyword} is {what}", settings, made.kwargs | {keyword: strange()}, inputs
        for place in range(len(inputs)):
            changed = [*inputs[:place], strange(), *inputs[place + 1 :]]
            yield f"input {place + 1} is {what}", settings, made.kwargs, changed
    yield "an unknown keyword", settings, made.kwargs | {"no_such_keyword": 1}, inputs


def complaints(name: str) -> list[str]:
    """The mistakes that are answered badly."""
    found = []
    with quiet():
        for what, settings, keywords, inputs in wrong_calls(name):
            try:
                modules.ours_of(name)(*settings, **keywords)(*inputs)
            except AmbosError as error:
                if "[layers.py:" not in str(error):
                    found.append(f"{what}: no line in {str(error)[:200]!r}")
            except Exception as error:
                found.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
    return [f"{name}: {text}" for text in found]


def main() -> int:
    """All layers: `make mistakes`."""
    names = modules.mapped()
    found = [text for name in names for text in complaints(name)]
    print(*found, f"{len(names)} layers, {len(found)} mistakes answered badly", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
