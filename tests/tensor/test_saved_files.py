"""Files that are written here: safetensors and PyTorch's, whole, nested, and damaged ones."""

from __future__ import annotations

import io
import os
import resource
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import ambos as am
from ambos.core.errors import ArgumentError, FormatError
from tests.tensor.test_files import DTYPES, equal

DEEP: list[object] = []
for _ in range(200):
    DEEP = [DEEP]


def test_what_is_saved_for_torch_is_read_there(tmp_path: Path) -> None:
    path, tied = tmp_path / "file.pt", am.tensor([[1.0, -2.0]])
    base = am.arange(6).reshape(2, 3)
    saved = {
        "dtypes": {
            str(d): am.tensor([[0, 1, 3]]).to(str(d).removeprefix("torch.")) for d in DTYPES
        },
        "tensors": [tied, tied, base.T, am.zeros(0, 2), am.tensor(2.5), tied + 1],
        "state": OrderedDict(weight=am.zeros(2), other=am.zeros(2)),
        "plain": (1, -5, 2**40, -(2**70), 2.5, float("inf"), None, True, "t\u00e9xt\n", [], (), {}),
        3: {"nested": [({1.5: None},)], "number": np.float32(0.5)},
        "dtype": am.bfloat16,
    }
    am.save(saved, path)
    for found in (torch.load(path, weights_only=True), torch.load(path, mmap=True)):
        for d in DTYPES:
            assert found["dtypes"][str(d)].equal(torch.tensor([[0, 1, 3]]).to(d))
        assert found["tensors"][0] is found["tensors"][1]
        for ours, theirs in zip(saved["tensors"], found["tensors"], strict=True):
            equal(ours, theirs)
        assert type(found["state"]) is OrderedDict
        assert found["plain"] == saved["plain"]
        assert found[3] == {"nested": [({1.5: None},)], "number": 0.5}
        assert found["dtype"] is torch.bfloat16
    found["state"]["weight"].add_(1)  # no other tensor shares its memory
    assert found["state"]["other"].tolist() == [0.0, 0.0]
    again = am.load(path)
    assert again["plain"] == saved["plain"]
    assert again["dtype"] is am.bfloat16
    assert again["tensors"][0] is again["tensors"][1]
    with pytest.raises(ArgumentError, match=r"\[0\]' is list; need"):
        am.save(DEEP, path)
    assert am.load(path)["plain"] == saved["plain"]


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_checkpoints_go_there_and_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"checkpoint.{suffix}"
    weight = am.tensor([1.0, -2.0], requires_grad=True)
    rule = am.optim.AdamW([("w", weight)], lr=0.1, amsgrad=True)
    schedule = am.optim.lr_scheduler.StepLR(rule, 2)

    def step() -> None:
        rule.zero_grad()
        (weight**2).sum().backward()
        rule.step()
        schedule.step()

    step()
    state = {"rule": rule.state_dict(), "schedule": schedule.state_dict(), "w": weight.detach()}
    am.save(state, path)
    step()
    expected = weight.tolist()
    found = am.load(path)
    assert found["rule"]["param_groups"] == state["rule"]["param_groups"]
    weight.data = found["w"]
    rule.load_state_dict(found["rule"])
    schedule.load_state_dict(found["schedule"])
    step()
    assert weight.tolist() == expected
    if suffix == "pt":
        theirs = torch.optim.AdamW([("w", torch.ones(2, requires_grad=True))], amsgrad=True)
        theirs.load_state_dict(torch.load(path, weights_only=True)["rule"])
        first = theirs.state[theirs.param_groups[0]["params"][0]]
        equal(found["rule"]["state"][0]["exp_avg"], first["exp_avg"])
        assert theirs.param_groups[0]["lr"] == 0.1


def test_open_files_are_written_and_read_where_they_stand(tmp_path: Path) -> None:
    shared, state = am.tensor([[1.0, -2.0]]), {"n": 3, "w": am.arange(6).reshape(2, 3).T}
    ours, theirs = io.BytesIO(b"before"), io.BytesIO(b"before")
    ours.seek(6)
    theirs.seek(6)
    am.save(state, ours)
    torch.save({"n": 3, "w": torch.arange(6).reshape(2, 3).T}, theirs)
    for file, load in ((ours, torch.load), (ours, am.load), (theirs, am.load)):
        assert file.getvalue().startswith(b"beforePK")
        file.seek(6)
        found = load(file)
        assert found["n"] == 3
        assert found["w"].tolist() == state["w"].tolist()
    old = io.BytesIO()
    torch.save([torch.ones(2), 5], old, _use_new_zipfile_serialization=False)
    assert am.load(io.BytesIO(old.getvalue()))[0].tolist() == [1.0, 1.0]

    path, odd = tmp_path / "a.safetensors", tmp_path / "odd"
    with path.open("wb", buffering=0) as file:
        am.save({"b": shared, "a": shared, "c": am.ones(2, dtype="bfloat16")}, file)
    with odd.open("wb") as file:
        am.save({"a": shared}, file)
    assert torch.load(odd)["a"].tolist() == [[1.0, -2.0]]
    assert safetensors.torch.load_file(path)["b"].tolist() == [[1.0, -2.0]]
    by_name = am.load(path)
    with path.open("rb") as file:
        found = am.load(file)
    assert [*found] == [*by_name] == ["b", "c", "a"]
    assert found["a"] is found["b"]
    assert found["c"].dtype is am.bfloat16
    assert found["c"].tolist() == [1.0, 1.0]
    nested = io.BytesIO()
    nested.name = "x.safetensors"  # type: ignore[attr-defined]  # as many wrappers have one
    am.save([shared, {"n": 3}], nested)
    nested.seek(0)
    assert am.load(nested)[1] == {"n": 3}


def test_open_files_that_cannot_be_used_are_named_and_stay(tmp_path: Path) -> None:
    whole, kept = io.BytesIO(), io.BytesIO()
    am.save({"a": am.ones(2)}, whole)
    safe = safetensors.torch.save({"a": torch.ones(2)})
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with path.open("rb") as reading, path.open() as text, path.open("ab") as adding:
        for call, message in (
            (lambda: am.save({"a": am.ones(2)}, reading), r"not open to write bytes; .*'wb'"),
            (lambda: am.load(text), r"not open to read bytes; .*'rb'"),
            (lambda: am.load(adding), r"not open to read bytes"),
            (lambda: am.save({"a": [print]}, kept), r"'a\[0\]' is builtin"),
            (lambda: am.load(io.BytesIO()), "BytesIO is damaged or no safetensors file"),
            (lambda: am.load(io.BytesIO(whole.getvalue()[:-9])), "BytesIO is no whole archive"),
            (lambda: am.load(io.BytesIO(safe[:-1])), "BytesIO is damaged"),
            (lambda: am.load(io.BytesIO(safe.replace(b"F32", b"F99"))), "BytesIO is damaged"),
        ):
            with pytest.raises(ValueError, match=message):
                call()
    assert (kept.getvalue(), path.read_bytes()) == (b"", b"old")


def test_safetensors_go_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    ours = {d: am.tensor([[0, 1], [3, 1]]).to(d) for d in ("float32", "bfloat16", "bool", "int64")}
    am.save({**ours, "empty": am.zeros(0, 3), "scalar": am.tensor(2.5)}, path, {"note": "x"})
    found = safetensors.torch.load_file(path)
    for name, tensor in ours.items():
        equal(tensor, found[name])
    assert found["empty"].shape == (0, 3)
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "x"}
    theirs = {str(d): torch.tensor([0, 1, 3]).to(d) for d in DTYPES if d is not torch.complex128}
    safetensors.torch.save_file(theirs, path)
    for name, tensor in am.load(path).items():
        equal(tensor, theirs[name])


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    path, weight = tmp_path / "tied.safetensors", am.ones(3, 3)
    am.save({"a.weight": weight, "b.weight": weight, "c": am.ones(1)}, path)
    found = am.load(path)
    assert found["a.weight"] is found["b.weight"]

    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight
            self.c = torch.nn.Parameter(torch.zeros(1))

    twin = Tied()
    safetensors.torch.load_model(twin, path)
    assert twin.b.weight.sum().item() == 9


def test_a_header_of_any_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    first = set()
    for length in range(0, 512, 8):
        am.save({"a": am.ones(1)}, path, {"note": "x" * length})
        first.add(path.read_bytes()[0])
        assert am.load(path)["a"].tolist() == [1]
    assert 0x80 in first  # as a pickle begins


def test_metadata_that_equals_a_name_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    am.save({"lm_head": am.ones(2), "a.weight": am.ones(1)}, path, {"best": "lm_head"})
    assert set(am.load(path)) == {"lm_head", "a.weight"}
    am.save({"a.weight": am.ones(1)}, path, {"best.weight": "a.weight"})
    assert set(am.load(path)) == {"a.weight"}
    tied = am.ones(2)
    am.save({"a": tied, "b": tied}, path, {"best": "a"})
    assert set(am.load(path)) == {"a", "b"}
    theirs = {"lm_head": torch.ones(2), "a.weight": torch.ones(1)}
    names = {"best": "lm_head", "b.weight": "a.weight"}  # the latter as save_model writes it
    safetensors.torch.save_file(theirs, path, names)
    assert set(am.load(path)) == {"lm_head", "a.weight", "b.weight"}


def test_names_and_folders_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder.*nowhere"):
        am.save({"a": am.ones(1)}, tmp_path / "nowhere" / "model.safetensors")
    assert os.listdir(tmp_path) == []
    (tmp_path / "notes").write_text("these are only words")
    with pytest.raises(FormatError, match=r"no safetensors file: .*header"):
        am.load(tmp_path / "notes")


@pytest.mark.parametrize(
    "change",
    [lambda h: h.replace(b"[2]", b"[%d,0]" % (1 << 80)), lambda h: h.replace(b"[2]", b"3"),
     lambda h: h.replace(b"[2]", b"[%d]" % 10**4000), lambda h: h.replace(b'"F32"', b"[]"),
     lambda h: h.replace(b"[0,8]", b"[0,%d]" % 10**4000),
     lambda h: h.replace(b'"F32"', b'"F99"'), lambda h: h.replace(b"[0,8]", b"[4,12]"),
     lambda h: h.replace(b"[0,8]", b"[0,4]"), lambda h: h.replace(b"[2]", b"[3]"),
     lambda h: h.replace(b"[2]", b"[-2]"), lambda h: h.replace(b'"a"', b'"b"'),
     lambda h: b"[" * 10_000, lambda h: h.replace(b'{"dtype"', b'{"d"'), lambda h: b"",
     lambda h: h.replace(b"[2]", b"[2" + b",1" * 64 + b"]"), lambda h: b"[]",
     lambda h: h.replace(b'"F32"', b'"F8_E4M3"').replace(b"[0,8]", b"[0,2]").replace(
         b"[8,12]", b"[2,12]").replace(b"[1]", b"[10]"),
     lambda h: h.replace(b"[2]", b"[%d,0]" % (1 << 62)).replace(b"[0,8]", b"[0,0]").replace(
         b"[8,12]", b"[0,12]").replace(b"[1]", b"[3]"),
     lambda h: h.replace(b'"a":', b'"__metadata__":{"x":3},"a":')],
)  # fmt: skip
def test_damaged_safetensors_are_refused(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "a.safetensors"
    head = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    head += b'"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}'
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"\0" * 12)
    assert am.load(path)["a"].tolist() == [0, 0]
    head = change(head)
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"\0" * 12)
    with pytest.raises(FormatError):
        am.load(path)


def test_every_part_of_a_safetensors_file_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    am.save({"a": am.arange(3), "b": am.ones(2, dtype="bfloat16")}, path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError, match=r"a\.safetensors is damaged"):
            am.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(FormatError, match="is damaged"):
        am.load(path)


def test_a_bool_of_a_file_may_be_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    am.save({"a": am.tensor([True, False, True])}, path)
    path.write_bytes(path.read_bytes()[:-3] + b"\x02\x00\xff")
    found = am.load(path)["a"]
    assert found.tolist() == [True, False, True]
    assert (found & True).sum().item() == 2


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    am.save({"a": am.arange(3)}, path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o22))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"a\.safetensors is as it was"):
            am.save({"a": am.zeros(4096)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(ArgumentError, match=r"header too large; .* is as it was"):
        am.save({"a": am.zeros(1)}, path, {"note": "x" * (100 << 20)})
    assert am.load(path)["a"].tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_strided_values_are_written_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    a = am.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    for dtype in ("float32", "bfloat16"):
        am.save({"turned": a.to(dtype).T, "part": a.to(dtype)[:, 1:3]}, path)
        found = safetensors.torch.load_file(path)
        assert found["turned"].tolist() == a.T.tolist()
        assert found["part"].tolist() == a[:, 1:3].tolist()


def test_mistakes_are_named(tmp_path: Path) -> None:
    for call, message in (
        (lambda: am.load(tmp_path / "none.pt"), "cannot read"),
        (lambda: am.load(3), "path is 3; need a file's name"),
        (lambda: am.save([am.ones(2), {"a": [print]}], tmp_path / "x"), r"'1\.a\.0' is builtin"),
        (lambda: am.save({"a": [print]}, tmp_path / "x.pt"), r"'a\[0\]' is builtin"),
        (lambda: am.save({(1, 2): 3}, tmp_path / "x.pt"), "'' is tuple"),
        (lambda: am.save({"a": {3}}, tmp_path / "x"), "'a' is set; need tensors, numbers"),
        (lambda: am.save({"a": am.ones(2)}, tmp_path / "x.pt", {}), "need it among what is"),
        (lambda: am.save({"a": am.ones(2)}, tmp_path / "x", {"n": 3}), "metadata is not text"),
        (lambda: am.save({"a": am.ones(2, dtype="complex128")}, tmp_path / "x"), "is complex128"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    ["", "3 4", "[1]", '{"list": 3}', '{"dict": [[1]]}', '{"dict": [[{"list": []}, 1]]}', "{}",
     '{"tensor": "b"}', '{"tensor": []}', '{"set": [1]}', '{"list": [], "dict": []}',
     '{"dict": ["ab"]}', '{"dict": {"ab": 1}}', '{"dict": [[]]}',
     '{"dict": [[{"tensor": "a"}, 1]]}',
     '{"list": {"a": 1}}', '{"tuple": "abc"}', '{"list": [' * 100_000],
)  # fmt: skip
def test_hostile_descriptions_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path, {"ambos.nested": text})
    with pytest.raises(FormatError, match="what it says of its contents is damaged"):
        am.load(path)


def test_names_that_the_format_needs_come_back(tmp_path: Path) -> None:
    path, shared = tmp_path / "file.safetensors", am.tensor([1.0, 2.0])
    for name in ("__metadata__", "ambos.nested", "ambos.tied"):
        for saved in ({name: shared}, {"a": shared, name: shared}, {name: shared, "a": shared}):
            am.save(saved, path)
            assert {key: value.tolist() for key, value in am.load(path).items()} == {
                key: [1.0, 2.0] for key in saved
            }
        with pytest.raises(ArgumentError, match="need another name"):
            am.save({"a": shared}, path, metadata={name: "text"})
    am.save({"a": shared, "ambos": {"nested": shared, "tied": [shared]}}, path)
    assert am.load(path)["ambos"]["nested"].tolist() == [1.0, 2.0]
    with pytest.raises(ArgumentError, match=r"the key \(1, 2\) is tuple"):
        am.save({(1, 2): shared}, path)


def test_a_further_name_of_a_tensor_replaces_no_text(tmp_path: Path) -> None:
    path, tied = tmp_path / "a.safetensors", am.ones(2)
    am.save({"a": tied, "note": tied, "format": tied}, path, {"note": "kept"})
    assert sorted(am.load(path)) == ["a", "format", "note"]
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata().items() >= {"note": "kept", "format": "pt"}.items()
