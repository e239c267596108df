"""Boxes as (x1, y1, x2, y2): areas, overlaps, non-maximum suppression.

Under the names of `torchvision.ops`.
"""

from __future__ import annotations

from ambos.core.arguments import checked_all
from ambos.core.errors import ShapeError
from ambos.nn.functional.shared import as_tensor
from ambos.tensor.creation import arange, zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack
from ambos.tensor.loops import scan
from ambos.tensor.sorting import argsort

__all__ = ["batched_nms", "box_area", "box_iou", "clip_boxes_to_image", "nms"]


def box_area(boxes: Tensor) -> Tensor:
    """Width times height.

    Shapes: (N, 4) to (N,).

    Example:
        >>> box_area([[1.0, 1.0, 3.0, 4.0]])
        tensor([6.])
    """
    x1, y1, x2, y2 = _corners("box_area", boxes)
    return (x2 - x1) * (y2 - y1)


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """The area that two boxes share, as a part of the area that they cover, for each pair.

    Shapes: (N, 4) and (M, 4) to (N, M).

    Example:
        >>> box_iou([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0], [4.0, 4.0, 5.0, 5.0]])
        tensor([[0.3333, 0.    ]])
    """
    left, top, right, bottom = (part[:, None] for part in _corners("box_iou", boxes1))
    x1, y1, x2, y2 = _corners("box_iou", boxes2)
    wide = (right.minimum(x2) - left.maximum(x1)).clip(0)
    shared = wide * (bottom.minimum(y2) - top.maximum(y1)).clip(0)
    return shared / (box_area(boxes1)[:, None] + box_area(boxes2) - shared)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes within an image of `size` (height, width).

    Example:
        >>> clip_boxes_to_image([[-1.0, 2.0, 9.0, 9.0]], (8, 6))
        tensor([[0., 2., 6., 8.]])
    """
    x1, y1, x2, y2 = _corners("clip_boxes_to_image", boxes)
    height, width = size
    return stack([x1.clip(0, width), y1.clip(0, height), x2.clip(0, width), y2.clip(0, height)],
                 axis=1)  # fmt: skip


def unsuppressed(boxes: Tensor, iou_threshold: float, labels: Tensor | None = None) -> Tensor:
    """Which of boxes sorted by score are kept: those that overlap with no better box (of their
    label, if there are any) that is kept. A graph of known shape: one scan over the boxes."""
    number = boxes.shape[0]
    places = arange(number)

    def step(gone: Tensor, row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        place, box = row
        kept = ~gone[place]
        near = box_iou(box[None], boxes)[0] > iou_threshold
        if labels is not None:
            near = near & (labels == labels[place])
        return gone | (kept & near & (places > place)), kept

    if not number:
        return zeros(0, dtype="bool")
    return scan(step, zeros(number, dtype="bool"), (places, boxes))[1]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The boxes that no box with a better score overlaps by more than `iou_threshold`.

    How many there are depends on the numbers, so this looks at them.

    Shapes: (N, 4) and (N,) to positions, best score first.

    Example:
        >>> boxes = [[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]]
        >>> nms(boxes, [0.5, 0.9, 0.1], 0.5)
        tensor([1, 2])
    """
    return _kept("nms", boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """`nms` in which only boxes with the same number in `idxs` suppress each other.

    Example:
        >>> batched_nms([[0.0, 0.0, 1.0, 1.0]] * 3, [0.5, 0.9, 0.1], [0, 0, 1], 0.5)
        tensor([1, 2])
    """
    return _kept("batched_nms", boxes, scores, as_tensor(idxs), iou_threshold)


def _kept(
    name: str, boxes: Tensor, scores: Tensor, labels: Tensor | None, threshold: float
) -> Tensor:
    _corners(name, boxes)
    boxes, scores = as_tensor(boxes), as_tensor(scores)
    if tuple(scores.shape) != (boxes.shape[0],):
        raise ShapeError(f"{name}: got {boxes.shape[0]} boxes and scores {tuple(scores.shape)}; "
                         "need one score a box")  # fmt: skip
    order = argsort(scores, descending=True)
    ranked = None if labels is None else labels[order]
    return order[unsuppressed(boxes[order], threshold, ranked)]


def _corners(name: str, boxes: Tensor) -> tuple[Tensor, ...]:
    boxes = as_tensor(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(f"{name}: got {tuple(boxes.shape)}; need (boxes, 4)")
    return tuple(boxes[:, i] for i in range(4))


checked_all(__all__, globals())
