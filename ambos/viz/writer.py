"""SummaryWriter: numbers, pictures and graphs for TensorBoard, under PyTorch's names."""

from __future__ import annotations

import datetime
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ArgumentTypeError, ShapeError
from ambos.nn.module import Module
from ambos.nn.scopes import record
from ambos.train.summary import given
from ambos.viz import (
    curves,
    hparams,
    layouts,
    meshes,
    messages,
    pictures,
    projector,
    timeline,
    values,
)  # fmt: skip
from ambos.viz.event_file import EventFile
from ambos.viz.graph_def import graph_def
from ambos.viz.histogram import Histogram, histogram_of
from ambos.viz.values import as_array

THRESHOLDS = 127  # of a precision-recall curve, as in PyTorch


class SummaryWriter(metaclass=Checked):
    """Writes event files that TensorBoard shows: `tensorboard --logdir runs`.

    `log_dir` is made where it is missing ("runs/<time>_<host><comment>" without one). Every entry
    is handed to the operating system when it is added, so a crash loses none, and nothing waits in
    a queue: `max_queue` and `flush_secs`, which PyTorch takes, change nothing. After a crash a new
    writer of the same folder goes on; entries of the old one from `purge_step` on are not shown.

    Errors: OSError where the folder cannot be written or the disk is full: what was written before
        stays readable. ArgumentError, ShapeError for values that a chart cannot show; after
        `close`.
    Source: PyTorch's `torch.utils.tensorboard.SummaryWriter`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        ...     for step in range(3):
        ...         writer.add_scalar("loss", 1 / (step + 1), step)
        ...     print(len(list(writer.log_dir.iterdir())))
        1
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        if log_dir is None:
            now = datetime.datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = Path("runs") / f"{now}_{socket.gethostname()}{comment}"
        self.log_dir = Path(log_dir)
        self._suffix, self._purge_step = filename_suffix, purge_step
        self._file = EventFile(self.log_dir, filename_suffix, purge_step)
        self._files: dict[str, EventFile] = {}  # of add_scalars, by folder

    # Numbers

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: int | None = None,
        walltime: float | None = None, new_style: bool = False, double_precision: bool = False,
    ) -> None:  # fmt: skip
        """A number, for the chart `tag`; the new style is TensorFlow 2's, and keeps 64 bits with
        `double_precision`."""
        number = values.as_number(f"add_scalar: {tag!r}", scalar_value)
        entry = messages.scalar(tag, number)
        if new_style:
            content = messages.numbers(
                np.float64(number) if double_precision else np.float32(number)
            )
            entry = messages.tensor(tag, content, messages.metadata("scalars"))
        self._add(entry, global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Several numbers for one chart: each is a run of its own, "<log_dir>/<main_tag>_<tag>"."""
        numbers = {
            tag: values.as_number(f"add_scalars: {tag!r}", value)
            for tag, value in tag_scalar_dict.items()
        }
        self._file.require_open()
        for tag, number in numbers.items():
            folder = f"{main_tag.replace('/', '_')}_{tag}"
            if folder not in self._files:
                place = self.log_dir / folder
                self._files[folder] = EventFile(place, self._suffix, self._purge_step)
            entry = messages.scalar(main_tag, number)
            self._add(entry, global_step, walltime, self._files[folder])

    def add_histogram(
        self, tag: str, values: Any, global_step: int | None = None, bins: Any = "tensorflow",
        walltime: float | None = None, max_bins: int | None = None,
    ) -> None:  # fmt: skip
        """How the finite ones among some numbers are distributed."""
        found = histogram_of(as_array(values), bins, max_bins)
        self._add(messages.histogram(tag, found), global_step, walltime)

    def add_histogram_raw(
        self, tag: str, min: float, max: float, num: int, sum: float, sum_squares: float,
        bucket_limits: Sequence[float], bucket_counts: Sequence[float],
        global_step: int | None = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """A histogram counted elsewhere: `bucket_counts[i]` numbers up to `bucket_limits[i]`."""
        limits, counts = as_array(bucket_limits), as_array(bucket_counts)
        if limits.shape != counts.shape or limits.ndim != 1:
            raise ShapeError(f"add_histogram_raw: {limits.shape} limits, {counts.shape} counts; "
                             "need as many of each")  # fmt: skip
        found = Histogram(min, max, num, sum, sum_squares, limits, counts)
        self._add(messages.histogram(tag, found), global_step, walltime)

    def add_pr_curve(
        self, tag: str, labels: Any, predictions: Any, global_step: int | None = None,
        num_thresholds: int = THRESHOLDS, weights: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Precision and recall at thresholds from 0 to 1, of labels (0 or 1) and probabilities."""
        rows = curves.pr_curve(labels, predictions, num_thresholds, weights)
        self._add(curves.summary(tag, rows), global_step, walltime)

    def add_pr_curve_raw(
        self, tag: str, true_positive_counts: Any, false_positive_counts: Any,
        true_negative_counts: Any, false_negative_counts: Any, precision: Any, recall: Any,
        global_step: int | None = None, num_thresholds: int = THRESHOLDS, weights: Any = None,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """A curve counted elsewhere, at thresholds from 0 to 1: as many as there are counts, which
        is what `num_thresholds` says in PyTorch; `weights` changes nothing there either."""
        rows = curves.raw(true_positive_counts, false_positive_counts, true_negative_counts,
                          false_negative_counts, precision, recall)  # fmt: skip
        self._add(curves.summary(tag, rows), global_step, walltime)

    def add_custom_scalars(self, layout: layouts.Layout) -> None:
        """Charts of several tags: {category: {chart: ["Multiline", [tag, ...]]}}, or ["Margin",
        [value, lower, upper]]. Once a writer: the last layout is what is shown."""
        self._add(layouts.summary(layout), None, None)

    def add_custom_scalars_multilinechart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """One chart with a line for each tag."""
        self.add_custom_scalars({category: {title: ["Multiline", list(tags)]}})

    def add_custom_scalars_marginchart(
        self, tags: Sequence[str], category: str = "default", title: str = "untitled"
    ) -> None:
        """One chart of three tags: a line, and the lower and upper edge of what lies around it."""
        self.add_custom_scalars({category: {title: ["Margin", list(tags)]}})

    def add_tensor(
        self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """An array, for programs that read event files (no chart shows it)."""
        entry = messages.tensor(
            tag, messages.numbers(as_array(tensor)), messages.metadata("tensor")
        )
        self._add(entry, global_step, walltime)

    # Pictures, sound and things in space

    def add_image(
        self, tag: str, img_tensor: Any, global_step: int | None = None,
        walltime: float | None = None, dataformats: str = "CHW",
    ) -> None:  # fmt: skip
        """An image: floats in [0, 1] or integers in [0, 255], axes as `dataformats` says."""
        pixels = values.as_pixels("add_image", img_tensor, dataformats)
        self._add_pixels(tag, pixels, global_step, walltime)

    def add_images(
        self, tag: str, img_tensor: Any, global_step: int | None = None,
        walltime: float | None = None, dataformats: str = "NCHW",
    ) -> None:  # fmt: skip
        """A batch of images, as one picture with eight in a row."""
        pixels = values.as_pixels("add_images", img_tensor, dataformats, batch=True)
        self._add_pixels(tag, values.side_by_side(pixels), global_step, walltime)

    def add_figure(
        self, tag: str, figure: Any, global_step: int | None = None, close: bool = True,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """A figure of matplotlib, or several of the same size; `close` closes them."""
        figures = list(figure) if isinstance(figure, (list, tuple)) else [figure]
        drawn = [values.drawn(one) for one in figures]
        if len({one.shape for one in drawn}) != 1:
            raise ShapeError(f"add_figure: figures of {[one.shape[:2] for one in drawn]} pixels; "
                             "need one or more of one size")  # fmt: skip
        self._add_pixels(tag, values.side_by_side(np.stack(drawn)), global_step, walltime)
        if close:
            from matplotlib import pyplot

            for one in figures:
                pyplot.close(one)

    def add_image_with_boxes(
        self, tag: str, img_tensor: Any, box_tensor: Any, global_step: int | None = None,
        walltime: float | None = None, rescale: float = 1, dataformats: str = "CHW",
        labels: str | Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """An image with rectangles, (boxes, 4): left, top, right, bottom in pixels; `labels` are
        written into them, and all is drawn `rescale` times as large."""
        pixels = values.as_pixels("add_image_with_boxes", img_tensor, dataformats)
        found = pictures.with_boxes(pixels, box_tensor, labels, rescale)
        self._add_pixels(tag, found, global_step, walltime)

    def add_video(
        self, tag: str, vid_tensor: Any, global_step: int | None = None, fps: float = 4,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Videos side by side, as an animated GIF: (videos, time, channels, height, width), floats
        in [0, 1] or integers in [0, 255]."""
        images = pictures.frames(vid_tensor)
        _, height, width, channels = images.shape
        entry = messages.image(tag, height, width, channels, pictures.gif(images, fps))
        self._add(entry, global_step, walltime)

    def add_mesh(
        self, tag: str, vertices: Any, colors: Any = None, faces: Any = None,
        config_dict: Mapping[str, Any] | None = None, global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Points in space, (batch, points, 3), with colours (in [0, 255]), and triangles as numbers
        of their corners, (batch, faces, 3); `config_dict` is for Three.js."""
        entry = meshes.summary(tag, vertices, colors, faces, config_dict)
        self._add(entry, global_step, walltime)

    def add_audio(
        self, tag: str, snd_tensor: Any, global_step: int | None = None, sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Sound: samples in [-1, 1], (samples,) or (channels, samples)."""
        encoded, channels, frames = values.wav("add_audio", snd_tensor, sample_rate)
        entry = messages.audio(tag, sample_rate, channels, frames, encoded)
        self._add(entry, global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Text, as Markdown.

        Errors: ArgumentTypeError for what is no text.
        """
        if not isinstance(text_string, (str, bytes)):
            kind = type(text_string).__name__
            raise ArgumentTypeError(f"add_text: text_string is {kind}; need a text, such as "
                                    "'\\n'.join(lines)")  # fmt: skip
        content = messages.strings(text_string)
        entry = messages.tensor(f"{tag}/text_summary", content, messages.metadata("text"))
        self._add(entry, global_step, walltime)

    # Models and runs

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False,
        use_strict_trace: bool = True, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """The graph of `model` on an input (a tensor, an `am.ShapeDtype`, or a tuple of them), its
        modules as boxes that open. Nothing is computed."""
        if not isinstance(model, Module) or input_to_model is None:
            got = "no input_to_model" if isinstance(model, Module) else type(model).__name__
            raise ArgumentError(f"add_graph: got {got}; need a module and an example of its input, "
                                "such as am.ShapeDtype((1, 784))")  # fmt: skip
        args = input_to_model if isinstance(input_to_model, (tuple, list)) else (input_to_model,)
        graph = graph_def(record("add_graph", model, *given(model, tuple(args))))
        self._file.write(messages.event(_now(walltime), graph=graph))

    def add_hparams(
        self, hparam_dict: Mapping[str, Any], metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Mapping[str, Sequence[Any]] | None = None,
        run_name: str | None = None, global_step: int | None = None,
    ) -> None:  # fmt: skip
        """The settings of a run and the numbers that it is judged by: a row in the table of runs,
        from the folder `run_name` (by default a time; "." is the writer's own)."""
        settings = {name: hparams.plain(name, value) for name, value in hparam_dict.items()}
        domains = {
            name: [hparams.plain(name, value) for value in domain]
            for name, domain in (hparam_domain_discrete or {}).items()
        }
        numbers = {
            name: values.as_number(f"add_hparams: {name!r}", value)
            for name, value in metric_dict.items()
        }
        self._file.require_open()
        own = run_name == "."
        folder = self.log_dir / (run_name or str(time.time()))
        file = self._file if own else EventFile(folder)
        try:
            for entry in hparams.summaries(settings, [*numbers], domains):
                self._add(entry, None, None, file)
            for name, number in numbers.items():
                self._add(messages.scalar(name, number), global_step, None, file)
        finally:
            if not own:
                file.close()

    def add_embedding(
        self, mat: Any, metadata: Sequence[Any] | None = None, label_img: Any = None,
        global_step: int | None = None, tag: str = "default",
        metadata_header: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """Points (points x dimensions) for the projector, with labels and pictures (NCHW)."""
        self._file.require_open()
        step = int(global_step or 0)
        projector.add(self.log_dir, tag, step, mat, metadata, label_img, metadata_header)

    def add_profile(self, profile: Any) -> Path:
        """What `am.profile` saw, for TensorBoard's profiler; returns the folder, in which there is
        also a trace for https://ui.perfetto.dev."""
        self._file.require_open()
        return timeline.write(self.log_dir, profile)

    # The file

    def flush(self) -> None:
        """Have the disk itself hold all that was added."""
        for file in (self._file, *self._files.values()):
            file.flush()

    def close(self) -> None:
        """The end; entries after it are an error."""
        for file in (self._file, *self._files.values()):
            file.close()

    def get_logdir(self) -> str:
        """The folder."""
        return str(self.log_dir)

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def __repr__(self) -> str:
        return f"SummaryWriter({str(self.log_dir)!r})"

    def _add_pixels(self, tag: str, pixels: Any, step: int | None, walltime: float | None) -> None:
        height, width, channels = pixels.shape
        entry = messages.image(tag, height, width, channels, values.png(pixels))
        self._add(entry, step, walltime)

    def _add(
        self, summary: bytes, step: int | None, walltime: float | None,
        file: EventFile | None = None,
    ) -> None:  # fmt: skip
        event = messages.event(_now(walltime), _step(step), summary=summary)
        (file or self._file).write(event)


def _now(walltime: float | None) -> float:
    return time.time() if walltime is None else walltime


def _step(step: Any) -> int | None:
    """A step that may be a tensor or an integer of NumPy."""
    return None if step is None else int(values.as_number("global_step", step))
