"""Files of PyTorch's and safetensors, good ones and hostile ones."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import ambos as am
from ambos.core.errors import ArgumentError, FormatError
from ambos.tensor.files.unpickle import Machine

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8,
    torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64, torch.complex128,
    torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip


def equal(ours: am.Tensor, theirs: torch.Tensor) -> None:
    assert str(theirs.dtype) == f"torch.{ours.dtype.name}"
    assert tuple(ours.shape) == tuple(theirs.shape)
    wide = theirs.float() if theirs.dtype is torch.bfloat16 else theirs
    np.testing.assert_array_equal(ours.numpy(), wide.detach().numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    layer = torch.nn.Linear(3, 2)
    saved = {
        "state": layer.state_dict(),
        "views": [base, base[1:, ::2], base.T, base[2, 3], base[:0], base[:1].expand(5, 6)],
        "dtypes": {str(d): torch.tensor([0, 1, 3]).to(d) for d in DTYPES},
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "plain": (1, -5, 2**40, 2.5, None, True, "text", b"bytes", {1, 2}, [], ()),
        "size": base.shape,
        "dtype": torch.float16,
        "counts": Counter([3, 3, 5]),
        "empty": OrderedDict(),
    }
    path = tmp_path / "file.pt"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    found = am.load(path)
    assert list(found) == list(saved)
    for name, value in layer.state_dict().items():
        equal(found["state"][name], value)
    for ours, theirs in zip(found["views"], saved["views"], strict=True):
        equal(ours, theirs)
    for name, value in saved["dtypes"].items():
        equal(found["dtypes"][name], value)
    equal(found["parameter"], saved["parameter"])
    assert found["plain"] == saved["plain"]
    assert found["size"] == (4, 6)
    assert found["dtype"] is am.float16
    assert found["counts"] == saved["counts"]
    found["views"][0] += 1  # tensors here share no memory
    equal(found["views"][2], base.T)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_checkpoints_with_optimizers_are_read(tmp_path: Path, protocol: int) -> None:
    layer = torch.nn.Linear(3, 2)
    rule = torch.optim.AdamW(layer.parameters(), amsgrad=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(rule, [3, 5])
    layer(torch.ones(1, 3)).sum().backward()
    rule.step()
    path = tmp_path / "checkpoint.pth"
    torch.save(
        {"optimizer": rule.state_dict(), "schedule": schedule.state_dict(), "epoch": 3},
        path,
        pickle_protocol=protocol,
    )
    found = am.load(path)
    ours = am.optim.AdamW([am.ones(2, 3, requires_grad=True), am.ones(2, requires_grad=True)])
    ours.load_state_dict(found["optimizer"])
    assert ours.state_dict()["state"][0]["step"] == 1.0
    am.optim.lr_scheduler.MultiStepLR(ours, [3, 5]).load_state_dict(found["schedule"])


def test_one_object_stays_one(tmp_path: Path) -> None:
    tied = torch.ones(2)
    path = tmp_path / "tied.pt"
    torch.save({"a": tied, "b": tied}, path)
    found = am.load(path)
    assert found["a"] is found["b"]


@pytest.mark.parametrize("zipped", [True, False])
def test_lazy_conjugates_and_negatives_are_carried_out(tmp_path: Path, zipped: bool) -> None:
    z = torch.tensor([1 + 2j, -1j])
    negative = torch._neg_view(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
    saved = [z, z.conj(), torch.tensor([2j]).conj().imag, negative, torch.nn.Parameter(z.conj())]
    path = tmp_path / "bits.pt"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    for ours, theirs in zip(am.load(path), saved, strict=True):
        equal(ours, theirs.detach().resolve_conj().resolve_neg())


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


@pytest.mark.parametrize(
    "text",
    ["", "3 4", "[1]", '{"list": 3}', '{"dict": [[1]]}', '{"dict": [[{"list": []}, 1]]}', "{}",
     '{"tensor": "b"}', '{"tensor": []}', '{"set": [1]}', '{"list": [], "dict": []}',
     '{"list": [' * 100_000],
)  # fmt: skip
def test_hostile_descriptions_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path, {"ambos.nested": text})
    with pytest.raises(FormatError, match="what it says of its contents is damaged"):
        am.load(path)


# --- hostile ones --------------------------------------------------------------------------------


class Command:
    """Pickled as a call of `os.system`."""

    def __reduce__(self) -> Any:
        return os.system, ("touch HACKED",)


class Lookup:
    def __reduce__(self) -> Any:
        return getattr, ("text", "upper")


class Evaluation:
    def __reduce__(self) -> Any:
        return eval, ("open('HACKED', 'w')",)


def archive(path: Path, pickled: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in entries.items():
            file.writestr(f"archive/data/{name.removeprefix('_')}", data)
    return path


def tensor_pickle(offset: Any, shape: Any, strides: Any, count: Any = 4, key: Any = "0") -> bytes:
    """A pickle of one float32 tensor of a storage of 4 elements."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, key, "cpu", count) if value == "S" else None

    class Made:
        def __reduce__(self) -> Any:
            arguments = ("S", offset, shape, strides, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    out = io.BytesIO()
    Pickler(out, protocol=2).dump(Made())
    return out.getvalue()


LAUGHS = b"]" + b"".join(b"q\x00](" + b"h\x00" * 9 + b"e" for _ in range(99))
TRICKS = {
    "a function in the memo": b"cos\nsystem\np0\n0g0\n(S'x'\ntR.",
    "a builtin": b"cbuiltins\nexec\n(X\x01\x00\x00\x00xtR.",
    "an attribute of a module": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",
    "a dotted name": b"\x80\x04\x8c\x0btorch._utils\x8c\x19_rebuild_tensor_v2.__globals__\x93.",
    "a module of ours": b"cambos.tensor.files.torch\nZip\n(X\x01\x00\x00\x00xtR.",
    "an instance": b"(X\x01\x00\x00\x00xios\nsystem\n.",
    "an object": b"(cos\nsystem\nX\x01\x00\x00\x00xo.",
    "a new object": b"ctorch\nSize\n)\x81.",
    "an extension": b"\x82\x01.",
    "attributes of a function": b"ctorch\nSize\n}X\x01\x00\x00\x00aK\x01sb.",
    "a call of no name": b"K\x01)R.",
    "an empty stack": b"R.",
    "a mark in place of a value": b"(.",
    "no mark": b"K\x01t.",
    "a memo that is not there": b"h\x07.",
    "a text longer than the file": b"X\xff\xff\xff\xff.",
    "bytes longer than memory": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "a negative length": b"T\xff\xff\xff\xff.",
    "a list of lists in a set": b"\x8f(]\x90.",
    "a key that is a list": b"}]K\x01s.",
    "a key of many tuples": b"}" + b")" + b"\x85" * 50_000 + b"K\x01s.",
    "a class as a value": b"ctorch\nFloatStorage\n.",
    "another storage's function": b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tR.",
    "rebuilt by itself": b"ctorch._tensor\n_rebuild_from_type_v2\np0\n(g0\nN)NtR.",
    "a module of many lists": LAUGHS + b"X\x01\x00\x00\x00x\x93.",
    "a name of many tuples": b"X\x01\x00\x00\x00x)" + b"\x85" * 50_000 + b"\x93.",
    "no end": b"K\x01",
    "nothing": b"",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_run_nothing(tmp_path: Path, trick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError):
        am.load(archive(tmp_path / "trick.pt", TRICKS[trick]))
    with contextlib.suppress(FormatError, ArgumentError):
        am.load_torch(am.nn.Linear(1, 1), tmp_path / "trick.pt")
    assert sorted(os.listdir(tmp_path)) == ["trick.pt"]


@pytest.mark.parametrize("kind", [Command, Lookup, Evaluation])
@pytest.mark.parametrize("zipped", [True, False])
def test_calls_are_refused_by_name(
    tmp_path: Path, kind: type, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pt"
    torch.save({"weight": torch.ones(2), "x": kind()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(FormatError, match=r"wants to use (posix|nt|builtins|__builtin__)\."):
        am.load(path)
    assert os.listdir(tmp_path) == ["hostile.pt"]


def test_modules_are_refused_with_what_to_save(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(FormatError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        am.load(path)


@pytest.mark.parametrize(
    "arguments",
    [(2, (3,), (1,)), (0, (2, 3), (2, 1)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2,), (1, 1)),
     (0, (2**40,), (0,)), (0, (2**62, 2**62), (0, 0)), (0, (-2,), (1,)), (0, (1.0,), (1,)),
     (0, 3, 1), ([], (1,), (1,)), (0, (1,) * 65, (0,) * 65), (0, (4,), (1,), 5),
     (0, (4,), (1,), -1), (0, (4,), (1,), 4, "1"), (0, (4,), (1,), 4, "../../x"),
     (0, (4,), (1,), 4, 0), (0, (4,), (1,), "4")],
)  # fmt: skip
def test_views_outside_of_their_storage_are_refused(tmp_path: Path, arguments: Any) -> None:
    path = archive(tmp_path / "view.pt", tensor_pickle(*arguments), _0=b"\0" * 16)
    with pytest.raises(FormatError):
        am.load(path)
    good = archive(
        tmp_path / "good.pt", tensor_pickle(1, (2,), (1,)), _0=struct.pack("4f", 1, 2, 3, 4)
    )
    assert am.load(good).tolist() == [2, 3]


def test_few_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    assert isinstance(am.load(archive(tmp_path / "a.pt", LAUGHS + b".")), list)  # each list once
    deep = b"]" * 5000 + b"a" * 4999 + b"."
    with pytest.raises(FormatError, match="deep"):
        am.load(archive(tmp_path / "b.pt", deep))
    itself = b"]q\x00h\x00a."
    with pytest.raises(FormatError, match="deep"):
        am.load(archive(tmp_path / "c.pt", itself))
    copies = (
        b"](" + b"N" * 100_000 + b"eq\x00" + b"ctorch\nSize\nq\x010" + b"h\x01h\x00\x85R0" * 600
    )
    with pytest.raises(FormatError, match="copy more"):
        Machine(copies + b"N.", {("torch", "Size"): tuple}).run()
    wide = [tensor_pickle(0, (2**22,), (0,))[:-1] for _ in range(8)]
    path = archive(tmp_path / "d.pt", b"(" + b"".join(p[2:] for p in wide) + b"l.", _0=b"\0" * 16)
    am.load(path)  # equal views are one


@pytest.mark.parametrize(
    "arguments",
    [(1 << 40000, (1,), (1,)), (0, (1,), (1,), 1 << 40000), (0, (0, 1 << 80), (1, 1)),
     (0, (0, 1 << 62), (1, 1)), (0, (0, 1 << 40, 1 << 40), (1, 1, 1)), (1 << 4000, (2,), (1,))],
)  # fmt: skip
def test_numbers_out_of_all_bounds_are_refused(tmp_path: Path, arguments: Any) -> None:
    with pytest.raises(FormatError):
        am.load(archive(tmp_path / "huge.pt", tensor_pickle(*arguments), _0=b"\0" * 16))


def test_the_stride_of_one_element_does_not_matter(tmp_path: Path) -> None:
    pickled = tensor_pickle(0, (1,), (1 << 80,))
    assert am.load(archive(tmp_path / "one.pt", pickled, _0=b"\0" * 16)).tolist() == [0]


def test_broken_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"a": torch.arange(1000.0)}, path)
    whole = path.read_bytes()
    for size in range(0, len(whole), len(whole) // 23):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            am.load(path)
    torch.save({"a": torch.arange(100.0)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for size in range(0, len(whole), len(whole) // 23):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            am.load(path)
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"N" * 50_000_000 + b".")
    with pytest.raises(FormatError, match="compressed"):
        am.load(bomb)
    with zipfile.ZipFile(bomb, "w") as file:
        file.writestr("archive/other", b"x")
    with pytest.raises(FormatError, match=r"no data\.pkl"):
        am.load(bomb)


def test_flipped_bytes_never_do_more_than_raise(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"a": torch.arange(3.0), "b": [1, "x"]}, path)
    with zipfile.ZipFile(path) as file:
        pickled = file.read("file/data.pkl")
    stream = np.random.RandomState(0)
    for _ in range(300):
        changed = bytearray(pickled)
        for place in stream.randint(0, len(pickled), 2):
            changed[place] = stream.randint(256)
        path = archive(tmp_path / "flipped.pt", bytes(changed), _0=struct.pack("3f", 1, 2, 3))
        with contextlib.suppress(FormatError):
            am.load(path)


# --- safetensors ---------------------------------------------------------------------------------


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
