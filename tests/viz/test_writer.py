"""Event files, read by TensorBoard itself; counts and curves against PyTorch's writer."""

from __future__ import annotations

import errno
import io
import os
import random
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, FormatError, ShapeError
from ambos.data.crc32c import crc32c
from ambos.data.tfrecord import frame, frames
from ambos.viz import SummaryWriter
from ambos.viz.values import png

tensorboard = pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def read(folder: Any, **sizes: int) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance=dict.fromkeys(
        ("scalars", "histograms", "images", "audio", "tensors"), 0))  # fmt: skip
    found.Reload()
    return found


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of everything."""
    folder = tmp_path_factory.mktemp("rich")
    with SummaryWriter(folder) as writer:
        for step in range(5):
            writer.add_scalar("loss", am.tensor(1 / (step + 1)), step, walltime=100.0 + step)
        writer.add_scalar("plain", np.float64(2.5))
        writer.add_histogram("weights", am.arange(100).to("bfloat16"), 3)
        image = np.linspace(0, 1, 3 * 5 * 7).reshape(3, 5, 7)
        writer.add_image("ramp", am.tensor(image.astype("float32")), am.tensor(1))
        writer.add_images("many", np.zeros((10, 2, 3, 1), np.uint8), dataformats="NHWC")
        writer.add_audio("tone", am.tensor([0.0, 0.5, -1.0, 2.0]), 2, sample_rate=8000)
        writer.add_text("note", "some *words*: ä", 4)
        writer.add_pr_curve("curve", [0, 1, 1, 0], [0.1, 0.9, 0.6, 0.7], 5, num_thresholds=11)
        settings = {"lr": 0.1, "name": "adam", "nesterov": True, "act": am.nn.ReLU, "n": None}
        writer.add_hparams(settings, {"accuracy": 0.9}, {"lr": [0.1, 0.2]}, run_name="trial")
        writer.add_scalars("both", {"train": 1.0, "valid": 2.0}, 7)
        writer.flush()
    return folder


@pytest.mark.parametrize("size", [0, 1, 8, 9, 599, 600, 601, 604, 4096, 4097, 70001])
def test_crc32c_is_tensorboards(size: int) -> None:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as expected

    data = random.Random(size).randbytes(size)
    assert crc32c(data) == expected(data)
    assert crc32c(memoryview(bytearray(data))) == crc32c(data)


def test_records_come_back_and_damage_is_named() -> None:
    records = [b"", b"one", bytes(range(256)) * 10]
    data = b"".join(map(frame, records))
    assert list(frames(io.BytesIO(data))) == records
    for cut in (5, 14, len(data) - 1):
        with pytest.raises(FormatError, match="cut off"):
            list(frames(io.BytesIO(data[:cut])))
    for place in (2, 9, 16, 30, len(data) - 2):
        broken = bytearray(data)
        broken[place] ^= 4
        with pytest.raises(FormatError, match="damaged"):
            list(frames(io.BytesIO(broken)))


def test_scalars(rich: Path) -> None:
    found = read(rich).Scalars("loss")
    assert [(e.step, e.wall_time) for e in found] == [(n, 100.0 + n) for n in range(5)]
    np.testing.assert_array_equal(
        [e.value for e in found], np.float32([1, 1 / 2, 1 / 3, 1 / 4, 0.2])
    )
    assert read(rich).Scalars("plain")[0].value == 2.5
    assert read(rich / "both_valid").Scalars("both")[0].value == 2.0


def test_images_are_what_pillow_reads(rich: Path) -> None:
    from PIL import Image

    found = read(rich).Images("ramp")[0]
    assert (found.step, found.height, found.width) == (1, 5, 7)
    with Image.open(io.BytesIO(found.encoded_image_string)) as image:
        expected = np.linspace(0, 1, 105).reshape(3, 5, 7).astype("float32") * 255
        np.testing.assert_array_equal(
            np.asarray(image), expected.astype(np.uint8).transpose(1, 2, 0)
        )
    many = read(rich).Images("many")[0]
    assert (many.height, many.width) == (4, 24)
    for channels, mode in ((1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 4, channels), np.uint8)
        with Image.open(io.BytesIO(png(pixels))) as image:
            assert image.mode == mode
            np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_sound_is_a_wav_file(rich: Path) -> None:
    found = read(rich).Audio("tone")[0]
    assert (found.sample_rate, found.length_frames, found.content_type) == (8000, 4, "audio/wav")
    with wave.open(io.BytesIO(found.encoded_audio_string)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (8000, 1, 4)
        samples = np.frombuffer(sound.readframes(4), "<i2")
    np.testing.assert_array_equal(samples, [0, 16384, -32767, 32767])


def test_text_and_plugins(rich: Path) -> None:
    from tensorboard.util.tensor_util import make_ndarray

    found = read(rich)
    assert make_ndarray(found.Tensors("note/text_summary")[0].tensor_proto)[0].decode() == (
        "some *words*: ä"
    )
    assert [*found.PluginTagToContent("text")] == ["note/text_summary"]
    assert [*found.PluginTagToContent("pr_curves")] == ["curve"]


def test_pr_curves_are_pytorchs(rich: Path) -> None:
    from tensorboard.util.tensor_util import make_ndarray
    from torch.utils.tensorboard.summary import compute_curve

    found = make_ndarray(read(rich).Tensors("curve")[0].tensor_proto)
    labels, scores = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.6, 0.7])
    np.testing.assert_allclose(found, compute_curve(labels, scores, 11), rtol=1e-6)


@pytest.mark.parametrize("bins", ["tensorflow", "auto", 7])
def test_histograms_are_pytorchs(tmp_path: Path, bins: Any) -> None:
    from torch.utils.tensorboard.summary import histogram
    from torch.utils.tensorboard.writer import SummaryWriter as Peer

    values = np.random.default_rng(1).normal(size=500).astype("float32")
    with Peer(str(tmp_path / "peer")) as peer:
        limits = peer.default_bins if bins == "tensorflow" else bins
    expected = histogram("h", values, limits).value[0].histo
    with SummaryWriter(tmp_path / "own") as writer:
        writer.add_histogram("h", values, bins=bins)
    found = read(tmp_path / "own").Histograms("h")[0].histogram_value
    for name in ("min", "max", "num", "sum", "sum_squares"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)
    kept = [(x, n) for x, n in zip(expected.bucket_limit, expected.bucket, strict=True) if n]
    mine = [(x, n) for x, n in zip(found.bucket_limit, found.bucket, strict=True) if n]
    np.testing.assert_allclose(mine, kept, rtol=1e-9)


def test_histograms_leave_out_what_is_no_number(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("some", [1.0, np.nan, np.inf, 3.0], bins=2)
        writer.add_histogram("none", [np.nan])
        writer.add_histogram("same", np.zeros(5))
        writer.add_histogram_raw("raw", 0, 1, 3, 1.5, 1, [0.5, 1.0], [1, 2])
    found = read(tmp_path)
    assert found.Histograms("some")[0].histogram_value.num == 2
    assert found.Histograms("none")[0].histogram_value.num == 0
    assert sum(found.Histograms("same")[0].histogram_value.bucket) == 5
    assert found.Histograms("raw")[0].histogram_value.bucket == [1, 2]


def test_settings_are_what_the_plugin_reads(rich: Path) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2

    found = read(rich / "trial")
    contents = found.PluginTagToContent("hparams")
    data = {name: plugin_data_pb2.HParamsPluginData.FromString(content)
            for name, content in contents.items()}  # fmt: skip
    experiment = data["_hparams_/experiment"].experiment
    assert [(info.name, info.type) for info in experiment.hparam_infos] == [
        ("lr", 3), ("name", 1), ("nesterov", 2), ("act", 1), ("n", 1),
    ]  # fmt: skip
    assert [value.number_value for value in experiment.hparam_infos[0].domain_discrete.values] == [
        0.1, 0.2,
    ]  # fmt: skip
    assert [info.name.tag for info in experiment.metric_infos] == ["accuracy"]
    start = data["_hparams_/session_start_info"].session_start_info.hparams
    assert (start["lr"].number_value, start["name"].string_value) == (0.1, "adam")
    assert start["nesterov"].bool_value is True
    assert start["act"].string_value == "ReLU"
    assert data["_hparams_/session_end_info"].session_end_info.status == 1
    assert found.Scalars("accuracy")[0].value == np.float32(0.9)


def test_the_projector_reads_its_files(tmp_path: Path) -> None:
    from google.protobuf import text_format
    from PIL import Image
    from tensorboard.plugins.projector import projector_config_pb2

    points = am.tensor(np.random.default_rng(0).normal(size=(5, 3)).astype("float32"))
    pictures = np.ones((5, 3, 4, 6), np.float32) * np.arange(5)[:, None, None, None] / 4
    with SummaryWriter(tmp_path) as writer:
        for step in (0, 1, 1):
            writer.add_embedding(points, ["a\tb", "c", "d", "e", "f"], pictures, step, tag="p/q")
        writer.add_embedding(points, [["x", 1]] * 5, metadata_header=["name", "n"])
        with pytest.raises(ShapeError, match="3 metadata for 5 points"):
            writer.add_embedding(points, ["a", "b", "c"])
    config = projector_config_pb2.ProjectorConfig()
    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config)
    assert [e.tensor_name for e in config.embeddings] == ["p/q:00000", "p/q:00001", "default:00000"]
    first, last = config.embeddings[0], config.embeddings[2]
    np.testing.assert_allclose(np.loadtxt(tmp_path / first.tensor_path), points.numpy(), rtol=1e-6)
    assert (tmp_path / first.metadata_path).read_text().splitlines()[0] == "a b"
    assert (tmp_path / last.metadata_path).read_text().splitlines()[0] == "name\tn"
    assert [*first.sprite.single_image_dim] == [6, 4]
    with Image.open(tmp_path / first.sprite.image_path) as sprite:
        assert sprite.size == (3 * 6, 3 * 4)
        assert sprite.getpixel((6, 4)) == (255, 255, 255)  # the fifth of 3 x 3


def test_the_graph_has_modules_as_folders(tmp_path: Path) -> None:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    net = am.nn.Sequential(am.nn.Linear(4, 3), am.nn.ReLU(), am.nn.Dropout(), am.nn.Linear(3, 2))
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(net.eval(), am.ShapeDtype((5, 4)))
        with pytest.raises(ArgumentError, match="input_to_model"):
            writer.add_graph(net)
    graph = read(tmp_path).Graph()
    assert isinstance(graph, GraphDef)
    nodes = {node.name: node for node in graph.node}
    assert len(nodes) == len(graph.node)
    assert {source for node in graph.node for source in node.input} <= set(nodes)
    assert {"Sequential/0/weight", "Sequential/3/bias", "Sequential/1/relu"} <= set(nodes)
    assert [*nodes["Sequential/2/afresh"].input] == ["Sequential/1/relu"]
    norms = am.nn.Sequential(am.nn.BatchNorm1d(4), am.nn.BatchNorm1d(4)).eval()
    with SummaryWriter(tmp_path / "norms") as writer:
        writer.add_graph(norms, am.ShapeDtype((5, 4)))
    found = read(tmp_path / "norms").Graph().node
    between = {(source.split("/")[1], node.name.split("/")[1])
               for node in found for source in node.input}  # fmt: skip
    assert between == {("input", "0"), ("0", "0"), ("0", "1"), ("1", "1"), ("1", "result")}
    shape = nodes["outputs/result"].attr["_output_shapes"].list.shape[0]
    assert [dim.size for dim in shape.dim] == [5, 2]


def test_profiles_are_read_by_jax(tmp_path: Path) -> None:
    from jax.profiler import ProfileData

    with am.profile() as profile:
        (am.ones(64, 64) @ am.ones(64, 64)).sum().item()
    with SummaryWriter(tmp_path) as writer:
        home = writer.add_profile(profile)
        assert writer.add_profile(profile) != home
    (path,) = home.glob("*.xplane.pb")
    (plane,) = ProfileData.from_file(str(path)).planes
    events = [event for line in plane.lines for event in line.events]
    launches = [launch for run in profile.runs for launch in run.program.launches]
    kernels = [event for event in events if dict(event.stats).get("kernel")]
    assert sorted(e.name for e in kernels) == sorted(launch.kernel.label for launch in launches)
    assert sum(e.duration_ns for e in kernels) == pytest.approx(
        1e9 * profile.kernel_seconds, rel=0.01
    )
    assert dict(kernels[0].stats)["flops"] >= 0


def test_a_crash_loses_nothing_and_the_next_writer_goes_on(tmp_path: Path) -> None:
    first = SummaryWriter(tmp_path)
    for step in range(6):
        first.add_scalar("loss", step, step)  # never closed nor flushed
    (path,) = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - 3)  # the last record reached the disk in part
    with SummaryWriter(tmp_path, purge_step=4) as second:
        for step in range(4, 8):
            second.add_scalar("loss", 10 * step, step)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names[0] == path.name  # files are read in the order of their names
    found = read(tmp_path).Scalars("loss")
    assert [(e.step, e.value) for e in found] == [
        (0, 0), (1, 1), (2, 2), (3, 3), (4, 40), (5, 50), (6, 60), (7, 70),
    ]  # fmt: skip


def test_a_writer_that_is_forgotten_is_closed(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path)
    number = writer._file.require_open()
    os.fstat(number)
    del writer
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    again = SummaryWriter(tmp_path)
    again.close()
    again.close()


def test_a_full_disk_leaves_a_file_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, real, left = SummaryWriter(tmp_path), os.write, 40

    def full(file: int, data: Any) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(file, data[:left])
        left -= done
        return done

    writer.add_scalar("loss", 0, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            writer.add_text("long", "x" * 1000, 1)
    with pytest.raises(ArgumentError, match="text_string is list; need a text"):
        writer.add_text("lines", ["a", "b"], 1)
    writer.add_scalar("loss", 1, 1)
    writer.close()
    assert [e.value for e in read(tmp_path).Scalars("loss")] == [0, 1]


def test_what_no_chart_shows(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for bad in ("words", [1, 2], None, 1j):
            with pytest.raises(ArgumentError, match="need one real number"):
                writer.add_scalar("x", bad)
        with pytest.raises(ShapeError, match="5 channels"):
            writer.add_image("x", np.zeros((5, 4, 4)))
        with pytest.raises(ArgumentError, match="letters"):
            writer.add_image("x", np.zeros((3, 4, 4)), dataformats="XYZ")
        with pytest.raises(ShapeError, match="a letter for each axis"):
            writer.add_image("x", np.zeros((4, 4)))
        with pytest.raises(ShapeError, match="samples"):
            writer.add_audio("x", np.zeros((1, 2, 3)))
        with pytest.raises(ArgumentError, match="within"):
            writer.add_pr_curve("x", [0, 1], [0.5, 1.5])
        with pytest.raises(ShapeError, match="as many of each"):
            writer.add_pr_curve("x", [0, 1], [0.5])
        with pytest.raises(ArgumentError, match="bins"):
            writer.add_histogram("x", [1.0], bins="nothing")
        size = next(tmp_path.iterdir()).stat().st_size
    writer.close()
    with pytest.raises(ArgumentError, match="closed"):
        writer.add_scalar("x", 1)
    assert next(tmp_path.iterdir()).stat().st_size == size
