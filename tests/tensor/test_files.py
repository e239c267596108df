"""Files of PyTorch's and safetensors, good ones and hostile ones."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
