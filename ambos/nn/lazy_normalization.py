"""Batch and instance normalisation whose channels are counted at the first call."""

from __future__ import annotations

from typing import Any

from ambos.nn.lazy import Lazy
from ambos.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    Norm,
)


class _LazyNorm(Lazy, Norm):
    told_by = ("weight", "bias", "running_mean", "running_var")

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        settings = (eps, momentum, affine, track_running_stats, device, dtype)
        Norm.__init__(self, None, *settings, bias=bias)


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A BatchNorm1d that learns `num_features` at the first call.

    Errors: as BatchNorm1d.

    Example:
        >>> import ambos as am
        >>> layer = LazyBatchNorm1d()
        >>> layer(am.ones(2, 3, 4)).shape, layer.num_features
        ((2, 3, 4), 3)
    """

    becomes = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A BatchNorm2d that learns `num_features` at the first call.

    Errors: as BatchNorm2d.

    Example:
        >>> import ambos as am
        >>> layer = LazyBatchNorm2d()
        >>> layer(am.ones(2, 3, 4, 4)).shape, layer.num_features
        ((2, 3, 4, 4), 3)
    """

    becomes = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A BatchNorm3d that learns `num_features` at the first call.

    Errors: as BatchNorm3d.

    Example:
        >>> import ambos as am
        >>> layer = LazyBatchNorm3d()
        >>> layer(am.ones(2, 3, 4, 4, 4)).shape, layer.num_features
        ((2, 3, 4, 4, 4), 3)
    """

    becomes = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """An InstanceNorm1d that learns `num_features` at the first call.

    Errors: as InstanceNorm1d.

    Example:
        >>> import ambos as am
        >>> layer = LazyInstanceNorm1d()
        >>> layer(am.ones(2, 3, 4)).shape, layer.num_features
        ((2, 3, 4), 3)
    """

    becomes = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """An InstanceNorm2d that learns `num_features` at the first call.

    Errors: as InstanceNorm2d.

    Example:
        >>> import ambos as am
        >>> layer = LazyInstanceNorm2d()
        >>> layer(am.ones(2, 3, 4, 4)).shape, layer.num_features
        ((2, 3, 4, 4), 3)
    """

    becomes = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """An InstanceNorm3d that learns `num_features` at the first call.

    Errors: as InstanceNorm3d.

    Example:
        >>> import ambos as am
        >>> layer = LazyInstanceNorm3d()
        >>> layer(am.ones(2, 3, 4, 4, 4)).shape, layer.num_features
        ((2, 3, 4, 4, 4), 3)
    """

    becomes = InstanceNorm3d
