"""The file that `ambos train` reads: TOML, every key known, every mistake told with its line."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ambos.cli.lines import Place, lines_of
from ambos.core.errors import AmbosError, ArgumentError, FormatError, suggest


class Rule(NamedTuple):
    """What the value of a key has to be."""

    need: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


TEXT = Rule("text in quotes", lambda value: isinstance(value, str))
FLAG = Rule("true or false", lambda value: isinstance(value, bool))
POSITIVE = Rule("an integer of at least 1", lambda value: _is_whole(value, 1))
WHOLE = Rule("an integer of at least 0", lambda value: _is_whole(value, 0))
NUMBER = Rule("a number", _is_number)
TABLE = Rule("a table", lambda value: isinstance(value, dict))
NAMED = Rule("a name, or a table with a name", lambda value: isinstance(value, (str, dict)))
TEXTS = Rule(
    "a list of texts",
    lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
)
NUMBERS = Rule(
    "a list of numbers", lambda value: isinstance(value, list) and all(map(_is_number, value))
)
SEVERAL = Rule(
    "a list of names and tables",
    lambda value: isinstance(value, list) and all(map(NAMED.fits, value)),
)
KEYS = {
    "model": TABLE, "data": TABLE, "optimizer": NAMED, "schedule": NAMED, "loss": TEXT,
    "metrics": SEVERAL, "callbacks": SEVERAL, "epochs": POSITIVE, "batch_size": POSITIVE,
    "seed": WHOLE, "precision": TEXT, "accumulate": POSITIVE, "clip_norm": NUMBER,
    "class_weight": NUMBERS, "shuffle": FLAG, "validation_split": NUMBER, "output": TEXT,
}  # fmt: skip
NEEDED = ("model", "data", "loss")


class Config:
    """A file's values, and where they stand. Relative paths in it begin at `base`.

    Errors: FormatError for what is no TOML, ArgumentError for keys and values that do not fit.
    """

    def __init__(self, path: Path, base: Path) -> None:
        self.path, self.base = path, base
        try:
            self.text = path.read_text(encoding="utf-8")
            self.values = tomllib.loads(self.text)
        except FileNotFoundError:
            near = suggest(path.name, (found.name for found in path.parent.glob("*.toml")))
            raise ArgumentError(
                f"there is no file {str(path)!r}; need a TOML file (`ambos train --help` shows "
                f"one){near}"
            ) from None
        except IsADirectoryError:
            inside = ", ".join(str(found) for found in sorted(path.glob("*.toml")))
            raise ArgumentError(
                f"{str(path)!r} is a folder; need a TOML file{inside and f', such as {inside}'}"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"{path} is no TOML: {error}") from error
        self.lines = lines_of(self.text)
        self.check((), self.values, KEYS)
        for key in NEEDED:
            if key not in self.values:
                raise self.wrong((), f"no {key}; need {', '.join(NEEDED)}")

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def get(self, key: str, usual: Any = None) -> Any:
        """The value of a key of the whole file, or `usual`."""
        return self.values.get(key, usual)

    def check(self, place: Place, table: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
        """Refuse keys without a rule, and values that do not fit theirs.

        Errors: ArgumentError.
        """
        for key, value in table.items():
            if key not in rules:
                raise self.unknown((*place, key), key, rules)
            if not rules[key].fits(value):
                raise self.wrong((*place, key), f"{key} is {value!r}; need {rules[key].need}")

    def unknown(self, place: Place, key: str, known: Iterable[str]) -> ArgumentError:
        """The error for a key that nobody reads."""
        known = list(known)
        return self.wrong(
            place, f"unknown key {key!r}; known: {', '.join(known)}{suggest(key, known)}"
        )

    def wrong(self, place: Place, problem: object) -> ArgumentError:
        """The error for what stands at a place of the file."""
        if isinstance(problem, AmbosError):
            problem = problem.message
        inside = place
        while inside and inside not in self.lines:
            inside = inside[:-1]
        line = f", line {self.lines[inside]}" if inside else ""
        whole = self.values.get(str(place[0])) if place else None
        section = f", [{place[0]}]" if len(place) > 1 or isinstance(whole, dict) else ""
        return ArgumentError(f"{self.path}{line}{section}: {problem}")

    def named(self, place: Place, value: Any) -> tuple[str, dict[str, Any]]:
        """A name and its settings, of `"adam"` or of `{name = "adam", lr = 0.1}`.

        Errors: ArgumentError for a table without a name.
        """
        if isinstance(value, str):
            return value, {}
        settings = dict(value)
        if "name" not in settings:
            near = [key for key in settings if suggest(key, ["name"])]
            if near:
                raise self.unknown((*place, near[0]), near[0], ["name"])
            raise self.wrong(place, "no name; need name = ...")
        name = settings.pop("name")
        if not isinstance(name, str):
            raise self.wrong((*place, "name"), f"name is {name!r}; need {TEXT.need}")
        return name, settings

    def file(self, place: Place, text: str) -> Path:
        """A path in the file, which has to exist.

        Errors: ArgumentError.
        """
        found = self.base / Path(text).expanduser()
        if not found.exists():
            raise self.wrong(place, f"there is no {str(found)!r}; need a file or folder that is")
        return found
