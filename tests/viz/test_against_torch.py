"""Every entry that PyTorch's writer makes, made by ours, and read by TensorBoard's readers."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import AmbosError
from ambos.viz import SummaryWriter

pytest.importorskip("tensorboard")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
LEFT_OUT = {"add_onnx_graph"}  # needs a reader of that format
DRAWS = np.random.default_rng(0)
POINTS = DRAWS.normal(size=(2, 4, 3)).astype("float32")
COLOURS = DRAWS.integers(0, 256, (2, 4, 3))
FACES = np.array([[[0, 1, 2]], [[1, 2, 3]]])
IMAGE = DRAWS.uniform(size=(3, 40, 50)).astype("float32")
BOXES = np.array([[2, 3, 20, 30], [10.5, 5, 45, 39]])
COUNTS = [DRAWS.uniform(size=7) for _ in range(6)]
SCORES = DRAWS.uniform(size=30)
LAYOUT = {
    "all": {"both": ["Multiline", ["a", "b/c"]], "around": ["Margin", ["a", "b", "c"]]},
    "ä": {"one": ["Multiline", ["d"]]},
}
FIGURE = object()
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("add_scalar", ("old", 0.1, 3), {}),
    ("add_scalar", ("new", 0.1, 3), {"new_style": True}),
    ("add_scalar", ("precise", 0.1, 3), {"new_style": True, "double_precision": True}),
    ("add_histogram", ("numbers", POINTS, 2), {}),
    ("add_histogram_raw", ("counted", 0.0, 1.0, 3, 1.5, 1.0, [0.5, 1.0], [1, 2], 4), {}),
    ("add_image", ("image", IMAGE, 1), {}),
    ("add_image", ("grey", (IMAGE[0] * 255).astype("uint8"), 1), {"dataformats": "HW"}),
    ("add_images", ("images", IMAGE[None].repeat(9, 0), 1), {}),
    ("add_image_with_boxes", ("boxes", IMAGE, BOXES, 1), {"labels": ["cat", "dog"]}),
    ("add_image_with_boxes", ("large", IMAGE, BOXES, 1), {"rescale": 2}),
    ("add_figure", ("figure", FIGURE, 1), {}),
    ("add_audio", ("sound", np.sin(np.arange(100.0)), 1), {"sample_rate": 8000}),
    ("add_text", ("text", "some *words*: ä", 1), {}),
    ("add_pr_curve", ("curve", SCORES > 0.4, SCORES, 1), {"num_thresholds": 11}),
    ("add_pr_curve_raw", ("raw", *COUNTS, 1), {"num_thresholds": 7}),
    ("add_custom_scalars", (LAYOUT,), {}),
    ("add_custom_scalars_multilinechart", (["a", "b"],), {"category": "c", "title": "t"}),
    ("add_custom_scalars_marginchart", (["a", "b", "c"],), {}),
    ("add_mesh", ("surface", POINTS, COLOURS, FACES), {"config_dict": {"b": 1, "a": [2]}}),
    ("add_mesh", ("points", POINTS), {"global_step": 5}),
    *[("add_tensor", (dtype, POINTS.astype(dtype), 2), {})
      for dtype in ("float32", "float64", "int32", "int64", "complex64")],
]  # fmt: skip


def events(folder: Path) -> Iterator[Any]:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    for path in sorted(folder.glob("events*")):
        for data in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(data)
            if event.HasField("summary"):
                yield event


def written(writer: Any, name: str, args: tuple[Any, ...], settings: dict[str, Any]) -> list[Any]:
    """What a call writes, as fields that can be compared."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(1, 1))
    drawing.gca().plot([1, 3, 2])
    given = [drawing if arg is FIGURE else arg for arg in args]
    if isinstance(writer, SummaryWriter):
        arrays = [am.tensor(arg) if isinstance(arg, np.ndarray) else arg for arg in given]
        given = given if name.startswith("add_pr") or "Tensor" in name else arrays
    elif name in ("add_tensor", "add_mesh"):
        given = [torch.tensor(arg) if isinstance(arg, np.ndarray) else arg for arg in given]
    with writer:
        getattr(writer, name)(*given, **settings)
    folder = Path(writer.get_logdir())
    return [(event.step, *seen(value)) for event in events(folder) for value in event.summary.value]


def seen(value: Any) -> tuple[Any, ...]:
    """A value as its readers see it: protocol buffers have several ways to hold an array."""
    from PIL import Image
    from tensorboard.util.tensor_util import make_ndarray

    about = value.metadata.plugin_data
    kind = value.WhichOneof("value")
    content: Any = getattr(value, kind)
    if kind == "tensor":
        array = make_ndarray(content)
        content = array.dtype.name, array.shape, array.tolist()
    elif kind == "image":
        with Image.open(io.BytesIO(content.encoded_image_string)) as image:
            content = np.asarray(image.convert("RGB")).tolist()  # grey stays grey in ours
    elif kind == "audio":  # of which ours rounds samples, and PyTorch's cuts them off
        content = content.sample_rate, content.num_channels, content.length_frames
    elif kind == "histo":
        pairs = zip(content.bucket_limit, content.bucket, strict=True)
        numbers = (content.min, content.max, content.num, content.sum, content.sum_squares)
        content = [np.float32(n) for n in numbers], [(f"{limit:.9g}", n) for limit, n in pairs if n]
    return value.tag, kind, about.plugin_name, plugin(about), content


def plugin(about: Any) -> Any:
    from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData
    from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData

    kinds = {"mesh": MeshPluginData, "pr_curves": PrCurvePluginData}
    return kinds[about.plugin_name].FromString(about.content) if about.content else None


def test_every_entry_is_pytorchs(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter as Peer

    differing = {}
    for number, (name, args, settings) in enumerate(CALLS):
        ours = written(SummaryWriter(tmp_path / f"own{number}"), name, args, settings)
        theirs = written(Peer(str(tmp_path / f"peer{number}")), name, args, settings)
        if ours != theirs:
            differing[name, str(args[0])] = ours, theirs
    assert differing == {}


def test_every_method_and_argument_is_there() -> None:
    from torch.utils.tensorboard import SummaryWriter as Peer

    for name, method in inspect.getmembers(Peer, inspect.isfunction):
        if name.startswith("_") or name in LEFT_OUT:
            continue
        own = inspect.signature(getattr(SummaryWriter, name)).parameters
        for place, (key, asked) in enumerate(inspect.signature(method).parameters.items()):
            assert [*own][place] == key, name
            assert own[key].default == asked.default, (name, key)


def test_videos(tmp_path: Path) -> None:
    from PIL import Image
    from torch.utils.tensorboard._utils import _prepare_video

    videos = np.zeros((5, 3, 3, 4, 6), np.uint8)
    videos[..., :3] = DRAWS.integers(0, 2, (5, 3, 3, 1, 1)) * 255
    with SummaryWriter(tmp_path) as writer:
        writer.add_video("v", am.tensor(videos), 7, fps=10)
    (event,) = events(tmp_path)
    image = event.summary.value[0].image
    expected = _prepare_video(videos) * 255
    assert (event.step, image.height, image.width, image.colorspace) == (7, *expected.shape[1:])
    with Image.open(io.BytesIO(image.encoded_image_string)) as movie:
        assert (movie.n_frames, movie.info["duration"], movie.info["loop"]) == (3, 100, 0)
        for frame, one in enumerate(expected):
            movie.seek(frame)
            np.testing.assert_array_equal(np.asarray(movie.convert("RGB")), one)


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("add_mesh", ("m", POINTS[0]), "need (batch, points, 3)"),
        ("add_mesh", ("m", POINTS, COLOURS[:1]), "need the same"),
        ("add_mesh", ("m", POINTS, None, FACES + 2), "need 0 to 3"),
        ("add_mesh", ("m", POINTS, None, FACES[:1]), "need (2, faces, 3)"),
        ("add_mesh", ("m", POINTS, None, None, {"a": object()}), "config_dict"),
        ("add_video", ("v", IMAGE), "need (videos, time, channels, height, width)"),
        ("add_video", ("v", IMAGE[None, None], 0, 0), "fps is 0"),
        ("add_image_with_boxes", ("i", IMAGE, BOXES[0]), "need (boxes, 4)"),
        ("add_image_with_boxes", ("i", IMAGE, BOXES, 0, 0, 1, "CHW", ["cat"]), "1 labels for 2"),
        ("add_custom_scalars", ({"a": {"b": ["Multilin", ["c"]]}},), "Did you mean 'Multiline'"),
        ("add_custom_scalars", ({"a": {"b": ["Margin", ["c"]]}},), "has 1 tags; need three"),
        ("add_pr_curve_raw", ("p", *COUNTS[:5], COUNTS[0][:2]), "a number for every threshold"),
        ("add_tensor", ("t", np.array(["a"])), "need one of float32"),
    ],
)  # fmt: skip
def test_what_does_not_fit(tmp_path: Path, name: str, args: Any, told: str) -> None:
    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(AmbosError) as found:
            getattr(writer, name)(*args)
        assert told in str(found.value)
        assert list(events(tmp_path)) == []
