"""Where the keys of a TOML file stand: its parser gives values without their lines.

Source: toml.io/en/v1.0.0. What is no TOML has been refused before, so nothing is checked here.
"""

from __future__ import annotations

import re

Place = tuple[str | int, ...]  # ("callbacks", 1, "patience")
BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:\\.|[^"\\])*"|' r"'[^']*'", re.DOTALL
)
BARE = re.compile(r"[\w-]+")
PLAIN = re.compile(r"[^,\]}#\n]*")  # numbers, dates, true and false


class Reader:
    """Walks through a file once, and notes where each section, key and element begins."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[Place, int] = {}
        self.counts: dict[Place, int] = {}  # of tables in [[arrays]]

    def read(self) -> dict[Place, int]:
        section: Place = ()
        self.skip(BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                section = self.header()
            else:
                self.pair(section)
            self.skip(BLANK)
        return self.found

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return match[0] if match else ""

    def note(self, place: Place, start: int) -> None:
        self.found.setdefault(place, self.text.count("\n", 0, start) + 1)

    def header(self) -> Place:
        """`[section]`, or `[[section]]`, which begins another table."""
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        keys = self.keys()
        self.at += 2 if is_array else 1
        place: Place = ()
        for position, key in enumerate(keys):
            place = (*place, key)
            if is_array and position == len(keys) - 1:
                self.counts[place] = self.counts.get(place, 0) + 1
            self.note(place, start)
            if place in self.counts:
                place = (*place, self.counts[place] - 1)
                self.note(place, start)
        return place

    def keys(self) -> list[str]:
        """`a.b."c d"`, up to what follows."""
        keys = []
        while True:
            self.skip(BLANK)
            quoted = self.skip(TEXT)
            keys.append(quoted[1:-1] if quoted else self.skip(BARE))
            self.skip(BLANK)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def pair(self, section: Place) -> None:
        """`key = value`."""
        start, place = self.at, section
        for key in self.keys():
            place = (*place, key)
            self.note(place, start)
        self.at += 1
        self.value(place)

    def value(self, place: Place) -> None:
        self.skip(BLANK)
        opening = self.text[self.at]
        if opening not in "[{":
            if not self.skip(TEXT):
                self.skip(PLAIN)
            return
        self.at += 1
        self.skip(BLANK)
        number = 0
        while self.text[self.at] not in "]}":
            if opening == "[":
                self.note((*place, number), self.at)
                self.value((*place, number))
                number += 1
            else:
                self.pair(place)
            self.skip(BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(BLANK)
        self.at += 1


def lines_of(text: str) -> dict[Place, int]:
    r"""The line in which each section, key and element of a list stands, counted from 1.

    Example:
        >>> lines_of("loss = 'mse'\n[[callbacks]]\nname = 'Timer'")
        {('loss',): 1, ('callbacks',): 2, ('callbacks', 0): 2, ('callbacks', 0, 'name'): 3}
    """
    return Reader(text).read()
