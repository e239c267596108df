"""Which name in a file belongs to which name in a module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor

WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
OLD = (  # names of today and what they were
    (".weight", ".gamma"),
    (".bias", ".beta"),
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
)
UNCOUNTED = "num_batches_tracked"  # files of before it was counted have none
SHOWN = 8  # names in a message


@dataclass
class Report:
    """How names in a file met those in a module; printed, it says all of it.

    `matched` maps the module's names to the file's; `renamed` are those of them that differ.
    `missing_keys` are the module's, `unexpected_keys` the file's; `notes` say what was done.

    Example:
        >>> print(Report({"weight": "module.weight"}, ["bias"], notes=["without 'module.'"]))
        1 of 2 names matched (without 'module.')
        missing: bias
    """

    matched: dict[str, str]
    missing_keys: list[str] = field(default_factory=list)
    unexpected_keys: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def renamed(self) -> dict[str, str]:
        """What stands under another name in the file."""
        return {ours: theirs for ours, theirs in self.matched.items() if ours != theirs}

    @property
    def complete(self) -> bool:
        """Did every name of both find one?"""
        return not self.missing_keys and not self.unexpected_keys

    def closest(self) -> dict[str, str]:
        """For names that are missing, the likeliest of those that were not expected."""
        found = {}
        for key in self.missing_keys:
            near = get_close_matches(key, self.unexpected_keys, 1, 0.6)
            if near:
                found[key] = near[0]
        return found

    def __str__(self) -> str:
        count = len(self.matched) + len(self.missing_keys)
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        lines = [f"{len(self.matched)} of {count} names matched{notes}"]
        near = self.closest()
        for title, keys in (("missing", self.missing_keys), ("unexpected", self.unexpected_keys)):
            if keys:
                shown = [
                    f"{key} (like {near[key]} in the file?)" if key in near else key
                    for key in keys[:SHOWN]
                ]
                more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
                lines.append(f"{title}: {', '.join(shown)}{more}")
        return "\n".join(lines)


def states(value: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The dictionaries of tensors in what was saved, with where they stand; each once, outer first.

    Example:
        >>> import ambos as am
        >>> [path for path, _ in states({"epoch": 3, "model": {"weight": am.ones(1)}})]
        ['model']
    """
    level = [("", value)] if isinstance(value, Mapping) else []
    seen = {id(value)}
    for _ in range(4):
        below: list[tuple[str, Any]] = []
        for path, entries in level:
            named = ((k, v) for k, v in entries.items() if isinstance(k, str))
            tensors = {k: v for k, v in named if isinstance(v, Tensor)}
            if tensors:
                yield path, tensors
            for key, entry in entries.items():
                if isinstance(entry, Mapping) and id(entry) not in seen:
                    seen.add(id(entry))
                    below.append((f"{path}.{key}" if path else str(key), entry))
        level = below


def match(
    targets: Iterable[str],
    saved: Any,
    rename: Callable[[str], str] | Mapping[str, str] | None = None,
) -> tuple[dict[str, Tensor], Report]:
    """The tensors in `saved` under the names of `targets`, and how they were found.

    `rename` says what a name in the file is called in the module, or gives it as it is.

    Errors: ArgumentError where nothing in `saved` is tensors by name.

    Example:
        >>> import ambos as am
        >>> found, report = match(["weight"], {"state_dict": {"module.weight": am.ones(1)}})
        >>> print(report)
        1 of 1 names matched (from 'state_dict'; without 'module.')
    """
    wanted = dict.fromkeys(targets)
    best: tuple[dict[str, Tensor], Report] | None = None
    for path, tensors in states(saved):
        found = _matched(wanted, tensors, rename)
        if path:
            found[1].notes.insert(0, f"from {path!r}")
        if best is None or len(found[1].matched) > len(best[1].matched):
            best = found
    if best is None:
        raise ArgumentError(
            f"load: the file holds {type(saved).__name__} without tensors by name; need a "
            "state_dict: torch.save(model.state_dict(), path)"
        )
    return best


def _matched(
    wanted: Mapping[str, Any], tensors: dict[str, Tensor], rename: Any
) -> tuple[dict[str, Tensor], Report]:
    notes: list[str] = []
    names = {key: key for key in tensors}  # the name to look for -> the name in the file
    if rename is not None:
        change = rename if callable(rename) else lambda key: rename.get(key, key)
        names = {change(key): key for key in tensors}
    for wrapper in WRAPPERS:
        if any(wrapper in key for key in names):
            names = {key.replace(wrapper, ""): original for key, original in names.items()}
            notes.append(f"without {wrapper!r}")
    names = _without_prefix(wanted, names, notes)
    matched = {key: names[key] for key in wanted if key in names}
    for key in wanted:
        for now, before in OLD:
            old = key.removesuffix(now) + before
            if key not in matched and key.endswith(now) and old in names and old not in wanted:
                matched[key] = names[old]
    used = set(matched.values())
    missing = [key for key in wanted if key not in matched and not key.endswith(UNCOUNTED)]
    unexpected = [key for key in tensors if key not in used]
    return {key: tensors[name] for key, name in matched.items()}, Report(
        matched, missing, unexpected, notes
    )


def _without_prefix(
    wanted: Mapping[str, Any], names: dict[str, str], notes: list[str]
) -> dict[str, str]:
    """`names`, a prefix taken away or put in front, if more of them are wanted then."""

    def score(found: Iterable[str]) -> int:
        return sum(key in wanted for key in found)

    best, most, note = names, score(names), ""
    for prefix in _prefixes(names):
        shorter = {k.removeprefix(prefix): v for k, v in names.items() if k.startswith(prefix)}
        if score(shorter) > most:
            best, most, note = shorter, score(shorter), f"without {prefix!r}"
    for prefix in _prefixes(wanted):
        longer = {prefix + key: original for key, original in names.items()}
        if score(longer) > most:
            best, most, note = longer, score(longer), f"with {prefix!r} in front"
    if note:
        notes.append(note)
    return best


def _prefixes(names: Iterable[str]) -> list[str]:
    """What names begin with, up to three parts; the shortest first."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        for count in range(1, min(4, len(parts))):
            found[".".join(parts[:count]) + "."] = None
    return sorted(found, key=len)
