"""The section [data] of a file: examples to train and to test with."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ambos.cli.config import NUMBER, TEXT, TEXTS, WHOLE, Config, Rule
from ambos.cli.making import chosen, made
from ambos.core.errors import ArgumentError, FormatError, suggest

EMBEDDED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
FETCHED = ("mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100")
COMPARING = (
    "mse", "mse_loss", "mean_squared_error", "l1", "l1_loss", "mae", "mean_absolute_error",
    "bce_with_logits", "binary_cross_entropy_with_logits",
)  # fmt: skip
SPLIT = {"test_fraction": NUMBER, "seed": WHOLE}
TABLE = {"target": TEXT, "features": TEXTS, "test": TEXT, **SPLIT}
SIZE = Rule(
    "a list of height and width",
    lambda value: isinstance(value, list) and [type(one) for one in value] == [int, int],
)
KINDS: dict[str, dict[str, Rule]] = {
    "csv": TABLE,
    "parquet": TABLE,
    "npz": {"x": TEXT, "y": TEXT, "x_test": TEXT, "y_test": TEXT, **SPLIT},
    "images": {"size": SIZE, "test": TEXT, "num_workers": WHOLE},
}  # fmt: skip


@dataclass
class Examples:
    """Arguments of `fit` and of `evaluate`; what columns mean, where there are any."""

    train: dict[str, Any]
    test: dict[str, Any] | None = None
    features: list[str] | None = None
    classes: list[str] | None = None
    tables: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)

    def require_finite(self, config: Config) -> None:
        """Say which cell of which file is no finite number, for a model that does not mean to see
        such ones.

        Errors: ArgumentError.
        """
        for (path, columns), key in zip(self.tables, ("csv", "test"), strict=False):
            numbers = {n: each for n, each in columns.items() if each.dtype.kind == "f"}
            wrong = {n: ~np.isfinite(each) for n, each in numbers.items()}
            rows = {name: int(found.argmax()) for name, found in wrong.items() if found.any()}
            if not rows:
                continue
            name = min(rows, key=rows.__getitem__)
            count = sum(int(found.sum()) for found in wrong.values())
            value, more = numbers[name][rows[name]], f" (and {count - 1} more)" * (count > 1)
            said = "empty or NaN" if np.isnan(value) else value
            raise config.wrong(
                ("data", key if key in config["data"] else "parquet"),
                f"{_where(path, rows[name])}: column {name!r} is {said}{more}; need finite "
                "numbers: leave such rows out, fill them in, or take other features = [...]",
            )


def examples_of(config: Config) -> Examples:
    """What [data] describes.

    Errors: ArgumentError.
    """
    table = dict(config["data"])
    kinds = [kind for kind in ("name", *KINDS) if kind in table]
    if len(kinds) != 1:
        strange = [key for key in table if key not in ("name", *KINDS)]
        near = suggest(strange[0], ["name", *KINDS]) if strange and not kinds else ""
        raise config.wrong(
            ("data",), f"data has {' and '.join(kinds) or 'no source'}; need one of "
            f"name, {', '.join(KINDS)}{near}"
        )  # fmt: skip
    (kind,) = kinds
    if kind == "name":
        return _by_name(config, table)
    config.check(("data",), table, {kind: TEXT, **KINDS[kind]})
    path = config.file(("data", kind), table[kind])
    if kind == "images":
        return _images(config, path, table)
    try:
        found = _arrays(config, path, table) if kind == "npz" else _table(config, path, table)
    except FormatError as error:
        at_fault = "test" if str(table.get("test")) in error.message else kind
        raise config.wrong(("data", at_fault), error) from error
    if "test_fraction" in table:
        if found.test is not None:
            raise config.wrong(
                ("data", "test_fraction"), "got both test data and test_fraction; need one of them"
            )
        _split(config, found, table["test_fraction"], table.get("seed", 0))
    return found


def _pair(x: Any, y: Any) -> dict[str, Any]:
    return {"x": x, "y": y}


def _split(config: Config, found: Examples, fraction: float, seed: int) -> None:
    from ambos.data.splitting import held_out

    try:
        train, test = held_out("data", found.train["x"], found.train["y"], fraction, seed)
    except ArgumentError as error:
        raise config.wrong(("data", "test_fraction"), error) from error
    found.train, found.test = _pair(*train), _pair(*test)


def _by_name(config: Config, table: dict[str, Any]) -> Examples:
    from ambos import data

    name, settings = config.named(("data",), table)
    known = (*EMBEDDED, *FETCHED)
    find = chosen(config, ("data",), "data", name, known, lambda one: getattr(data, one))
    found = made(config, ("data",), find, settings)
    if not isinstance(found, (tuple, list)):
        return Examples({"x": found})
    if len(found) != 2:
        raise config.wrong(
            ("data", "name"), f"{name} gives {len(found)} things; need (x, y), or (x, y), "
            "(x_test, y_test), or batches"
        )  # fmt: skip
    features = data.feature_names(name) if name in EMBEDDED and name != "digits" else None
    if isinstance(found[0], (tuple, list)):
        train, test = (_usable(config, name, *part) for part in found)
        return Examples(train, test, features)
    return Examples(_usable(config, name, *found), None, features)


def _usable(config: Config, name: str, x: Any, y: Any) -> dict[str, Any]:
    """Of our own sets: bytes of pictures as numbers from 0 to 1, targets as the loss takes them."""
    if name in FETCHED:
        x = x.astype(np.float32) / 255
    return _pair(x, _targets(config, y) if name in (*EMBEDDED, *FETCHED) else y)


def _targets(config: Config, values: Any) -> Any:
    """Class numbers, or a column of numbers for losses that compare them."""
    is_class = values.dtype.kind != "f" and config["loss"] not in COMPARING
    return values.astype(np.int64) if is_class else values.astype(np.float32)[:, None]


def _arrays(config: Config, path: Path, table: dict[str, Any]) -> Examples:
    from ambos.data.arrays import npz_arrays

    arrays = npz_arrays("npz", str(path))

    def named(key: str, usual: str) -> Any:
        name = table.get(key, usual)
        if name not in arrays:
            raise config.wrong(
                ("data", key), f"{path} has no array {name!r}; need one of "
                f"{', '.join(arrays)}{suggest(name, arrays)}"
            )  # fmt: skip
        return arrays[name]

    train = _pair(named("x", "x"), named("y", "y"))
    has_test = "x_test" in table or "x_test" in arrays
    test = _pair(named("x_test", "x_test"), named("y_test", "y_test")) if has_test else None
    return Examples(train, test)


def columns(path: Path, parquet: bool) -> dict[str, Any]:
    """A whole table, by column.

    Errors: ArgumentError without pyarrow; FormatError for another file.
    """
    from ambos.data import from_csv, from_parquet

    try:
        listed = list(from_parquet(path) if parquet else from_csv(path))
    except FormatError as error:
        shape = "" if parquet else "; need a line of names, and rows with as many cells"
        raise FormatError(f"{error.message}{shape}") from error
    if not listed:
        raise FormatError(f"{path} has no rows; need a line of names, and rows")
    return {name: np.asarray([row[name] for row in listed]) for name in listed[0]}


def matrix(path: Path, table: dict[str, Any], features: list[str]) -> Any:
    """Columns of numbers, side by side, as float32.

    Errors: ArgumentError for a column that is missing or has no numbers.
    """
    for name in features:
        if name not in table:
            raise ArgumentError(f"{path} has no column {name!r}; need one of "
                                f"{', '.join(table)}{suggest(name, table)}")  # fmt: skip
        if table[name].dtype.kind not in "biuf":
            row = next((r for r, cell in enumerate(table[name]) if not _is_number(cell)), 0)
            cell = str(table[name][row])
            raise ArgumentError(f"{_where(path, row)}: column {name!r} is {cell!r}; need numbers, "
                                "or other features = [...]")  # fmt: skip
    return np.stack([table[name].astype(np.float32) for name in features], 1)


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _where(path: Path, row: int) -> str:
    """The place of a row of a table: of a CSV file its line, the last one of several."""
    if path.suffix == ".parquet":
        return f"{path}, row {row}"
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        next(islice(filter(None, reader), row + 1, None), None)  # after the line of names
        return f"{path}, line {reader.line_num}"


def _table(config: Config, path: Path, table: dict[str, Any]) -> Examples:
    if "target" not in table:
        raise config.wrong(("data",), "no target; need the name of the column to predict")
    target, is_parquet = table["target"], "parquet" in table
    try:
        found = columns(path, is_parquet)
    except FormatError as error:
        raise config.wrong(("data", "parquet" if is_parquet else "csv"), error) from error
    if target not in found:
        raise config.wrong(
            ("data", "target"), f"{path} has no column {target!r}; need one of "
            f"{', '.join(found)}{suggest(target, found)}"
        )  # fmt: skip
    features = table.get("features") or [name for name in found if name != target]
    is_text = found[target].dtype.kind not in "biuf"
    classes = sorted({str(one) for one in found[target]}) if is_text else None

    def part(where: Path, values: dict[str, Any]) -> dict[str, Any]:
        try:
            x = matrix(where, values, features)
        except ArgumentError as error:
            raise config.wrong(("data", "features"), error) from error
        if target not in values:
            raise config.wrong(("data", "test"), f"{where} has no column {target!r}; need it")
        tables.append((where, {name: values[name] for name in (*features, target)}))
        return _pair(x, _numbered(config, where, values[target], classes))

    tables: list[tuple[Path, dict[str, Any]]] = []
    train = part(path, found)
    test = None
    if "test" in table:
        where = config.file(("data", "test"), table["test"])
        test = part(where, columns(where, is_parquet))
    return Examples(train, test, features, classes, tables)


def _numbered(config: Config, path: Path, values: Any, classes: list[str] | None) -> Any:
    """Class numbers of texts, and numbers as the loss takes them."""
    if classes is None:
        return _targets(config, values)
    empty = [row for row, one in enumerate(values) if one is None or one == ""]
    if empty:
        raise config.wrong(
            ("data", "target"), f"{_where(path, empty[0])}: the column "
            f"{config['data']['target']!r} is empty; need a class in every row"
        )  # fmt: skip
    number = {name: place for place, name in enumerate(classes)}
    strange = [str(one) for one in values if str(one) not in number]
    if strange:
        raise config.wrong(
            ("data", "test"), f"{path} has the class {strange[0]!r}, which training data has not; "
            f"need one of {', '.join(classes)}"
        )  # fmt: skip
    return np.asarray([number[str(one)] for one in values], np.int64)


class Pixels:
    """A Pillow image as numbers from 0 to 1, channels first, of one size."""

    def __init__(self, size: list[int] | None) -> None:
        self.size = size

    def __call__(self, image: Any) -> Any:
        from ambos.data.folders import pixels

        if self.size is not None:
            height, width = self.size
            image = image.resize((width, height))
        return pixels(image).astype(np.float32) / 255


def _images(config: Config, path: Path, table: dict[str, Any]) -> Examples:
    from ambos.data import DataLoader, ImageFolder

    def loader(folder: Path, shuffle: bool) -> Any:
        images = ImageFolder(folder, Pixels(table.get("size")))
        return images, DataLoader(
            images, batch_size=config.get("batch_size", 32), shuffle=shuffle,
            num_workers=table.get("num_workers", 0),
        )  # fmt: skip

    try:
        images, train = loader(path, config.get("shuffle", True))
        test = None
        if "test" in table:
            where = config.file(("data", "test"), table["test"])
            others, test = loader(where, False)
            if others.classes != images.classes:
                raise ArgumentError(f"{where} has the classes {', '.join(others.classes)}; need "
                                    f"{', '.join(images.classes)}")  # fmt: skip
    except ArgumentError as error:
        raise config.wrong(("data", "images"), error) from error
    return Examples({"x": train}, None if test is None else {"x": test}, None, images.classes)
