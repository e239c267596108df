"""Errors: their types, the user's line, the guess at what was meant."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ambos as am
import ambos.core.errors as errors
from ambos.core.dtype import float32
from ambos.core.errors import AmbosError, ShapeError, UnknownNameError, suggest, user_line
from ambos.ops.arithmetic import add
from ambos.ops.kinds import constant

TYPES = [
    t for _, t in inspect.getmembers(errors, inspect.isclass)
    if issubclass(t, AmbosError) and t is not AmbosError
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES, ids=lambda t: t.__name__)
def test_every_error_is_also_the_builtin_that_people_catch(kind: type[AmbosError]) -> None:
    builtin = [b for b in kind.__mro__ if b.__module__ == "builtins"]
    assert len(builtin) > 3  # more than object, BaseException and Exception
    assert kind.__doc__
    with pytest.raises(AmbosError, match="what came"):
        raise kind("op: what came")


def test_the_line_is_the_callers() -> None:
    here = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    assert user_line() == f"test_errors.py:{here}"


def test_the_line_is_the_users_however_deep_the_error() -> None:
    x, y = constant(1, float32, (2,)), constant(1, float32, (3,))
    with pytest.raises(ShapeError) as caught:
        add(x, y)
    line = caught.traceback[0].lineno + 1
    assert str(caught.value).endswith(f"[test_errors.py:{line}]")


def test_the_line_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text(
        "from ambos.core.dtype import as_dtype\n\n\ndef build():\n    as_dtype('flaot16')\n\n\n"
        "build()\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=root,
        env={"PYTHONPATH": str(root)}, check=False,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ambos.core.errors.DTypeError: dtype: got 'flaot16'; need one of bool")
    assert last.endswith("Did you mean 'float16'? [model.py:5]")


def test_suggestions_are_near_or_absent() -> None:
    known = ["epochs", "batch_size", "validation_split"]
    assert suggest("epoch", known) == ". Did you mean 'epochs'?"
    assert suggest("batchsize", known) == ". Did you mean 'batch_size'?"
    assert suggest("quux", known) == ""
    assert suggest("anything", []) == ""
    assert suggest("load", ["_load", "_loads"]) == ""  # private names are nobody's business


def test_a_hint_is_made_when_the_message_is_read_and_once() -> None:
    made = []

    def error() -> UnknownNameError:
        made.append(0)
        return UnknownNameError(
            "op: no attribute 'epoch'", "model.py:3",
            hint=lambda: made.append(1) or suggest("epoch", ["epochs"]),
        )  # fmt: skip

    text = "op: no attribute 'epoch'. Did you mean 'epochs'?"
    shown = f"{text} [model.py:3]"
    readings: list[tuple[Callable[[UnknownNameError], object], object]] = [
        (str, shown), (lambda e: e.args, (shown,)), (lambda e: e.message, text),
        (repr, f"UnknownNameError({shown!r})"),
        (lambda e: copy.copy(e).args[0][: len(shown)], shown),
        (lambda e: str(e.at("a.py:1", "fit")), f"fit: {text.removeprefix('op: ')} [a.py:1]"),
    ]  # fmt: skip
    for read, expected in readings:
        made.clear()
        found = error()
        assert made == [0]
        assert read(found) == expected
        assert (str(found), found.message)[1].endswith("'epochs'?")
        assert made == [0, 1]


@pytest.mark.parametrize(
    "owner", [am, am.zeros(2), am.nn.Linear(2, 3)], ids=lambda x: type(x).__name__
)
def test_looking_for_an_attribute_does_not_compare_names(
    owner: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AttributeError, match=r"Did you mean '(relu|weight)'"):
        owner.wreight if isinstance(owner, am.nn.Module) else owner.relq
    monkeypatch.setattr(errors.difflib, "get_close_matches", lambda *_, **__: pytest.fail("slow"))
    assert not hasattr(owner, "relq")
    assert getattr(owner, "wreight", None) is None
