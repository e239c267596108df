"""Why a call needs a recording of its own: which part of its signature is new, in words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from ambos.core.structure import Structure, below, described, first_difference
from ambos.tensor.guards import difference
from ambos.tensor.handle import Tensor
from ambos.tensor.recording import Recording
from ambos.tensor.signature import FIRST, Fixed, argument_name, laid_out

SETTINGS = ("", "recording of gradients", "threads", "processor", "autocast")


class Cause(NamedTuple):
    """`is_fixed`: what differs is a value that might be a tensor instead. `is_bound`: merely that
    an argument is another tensor, which may turn out to make no difference."""

    text: str
    is_fixed: bool = False
    is_bound: bool = False


def cause_of(
    fn: Callable[..., Any], signature: Sequence[Any], alike: Sequence[Recording],
    tensors: Sequence[Tensor], known: Iterable[Sequence[Any]],
) -> Cause:  # fmt: skip
    """`alike` are the recordings of the same signature, `known` the other signatures."""
    if alike:
        return of_state(fn, signature, alike[0], tensors)
    others = [other for other in known if other is not signature]
    if not others:
        return Cause("first call")
    distance = lambda other: (other[0] != signature[0], len(_apart(signature, other)))
    nearest = min(reversed(others), key=distance)  # of equally near ones the latest
    apart = _apart(signature, nearest)
    number = apart[0] if apart else 0
    now, was = signature[number], nearest[number]
    if number == 0:
        return Cause(_nesting(fn, now, was))
    if number < FIRST:
        return Cause(f"{SETTINGS[number]}: {now!r} was {was!r}")
    name = name_of(fn, signature, number - FIRST)
    if isinstance(now, Fixed) and isinstance(was, Fixed):
        is_fixed = all(isinstance(signature[n], Fixed) and isinstance(nearest[n], Fixed)
                       and not hasattr(signature[n][0], "_guard_recording")  # a module stays one
                       for n in apart)  # fmt: skip
        return Cause(f"argument {name} is {_kind(now)} and was {_kind(was)}", is_fixed)
    if isinstance(now, Fixed) or isinstance(was, Fixed):
        return Cause(f"argument {name} is {_kind(now)} and was {_kind(was)}")
    return Cause(f"argument {name}: {_tensors_apart(now, was)}")


def name_of(fn: Callable[..., Any], signature: Sequence[Any], place: int) -> str:
    """The name of leaf number `place` of the arguments."""
    layout = signature[0][0] if isinstance(signature[0], tuple) else signature[0]
    for number, path in enumerate(laid_out(layout).paths()):
        if number == place:
            return argument_name(fn, path)
    return str(place)


def of_state(
    fn: Callable[..., Any], signature: Sequence[Any], recording: Recording,
    tensors: Sequence[Tensor],
) -> Cause:  # fmt: skip
    """Why a recording for the same arguments does not hold."""
    guards = recording.guards.everything()
    found = [text for look, before in guards if (text := difference(look, before))]
    if found:
        return Cause(found[0], is_fixed=True)
    places = [n for n, part in enumerate(signature[FIRST:]) if not isinstance(part, Fixed)]
    for number, tensor in enumerate(tensors):
        if id(tensor) in recording.outside:
            name = name_of(fn, signature, places[number])
            return Cause(f"argument {name} is a tensor that the function reads from outside, too")
    if not all(gradient.holds(tensors) for gradient in recording.gradients.found):
        return Cause("a gradient is there where none was, or the other way round")
    for captured in recording.captured:
        node = captured.holder(tensors)._node
        facts = (node.shape, node.dtype, node.tracked)
        if facts != (captured.shape, captured.dtype, captured.tracked):
            return Cause(
                f"a tensor from outside is {node.dtype.name}{list(node.shape)} and was "
                f"{captured.dtype.name}{list(captured.shape)}"
                + ", requires_grad differs"
                * (node.tracked is not captured.tracked)
            )
    for number, argument in recording.bound:
        if tensors[number] is not argument():
            name = name_of(fn, signature, places[number])
            return Cause(f"argument {name} is another tensor, and known to the function otherwise",
                         is_bound=True)  # fmt: skip
    return Cause("a tensor from outside lies differently in memory, or is another one")


def _apart(one: Sequence[Any], other: Sequence[Any]) -> list[int]:
    if one[0] != other[0] or len(one) != len(other):
        return [0]
    return [n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]


def _nesting(fn: Callable[..., Any], now: Hashable, was: Hashable) -> str:
    one, other = (laid_out(part[0] if isinstance(part, tuple) else part) for part in (now, was))
    path = first_difference(one, other)
    if path is None:
        return "a module among the arguments has other settings"
    if len(path) < 2:
        return f"the arguments are {_arguments(one)}, and were {_arguments(other)}"
    words = f"{described(below(one, path))} and was {described(below(other, path))}"
    return f"argument {argument_name(fn, path)} is {words}"


def _arguments(structure: Structure) -> str:
    """Those of (args, kwargs) in words."""
    positional, keywords = structure.children
    words = [f"{len(positional.children)} by position"]
    if keywords.keys:
        words.append("by keyword " + ", ".join(sorted(map(str, keywords.keys))))
    return " and ".join(words)


def _kind(part: Any) -> str:
    if not isinstance(part, Fixed):
        return f"a tensor {part[1]}{list(part[0])}"
    if part.is_weak:
        return repr(part.object) if part.object is not None else f"a {part[0].__name__}, now gone"
    return str(part[1]) if part[0] in (float, complex) else repr(part[1])  # text already


def _tensors_apart(now: tuple[Any, ...], was: tuple[Any, ...]) -> str:
    for name, a, b in zip(("shape", "dtype", "strides", "requires_grad"), now, was, strict=False):
        if a != b:
            return f"{name} {a} was {b}"
    return "is the same tensor as another argument, or no longer is"
