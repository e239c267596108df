"""Second derivatives of public functions against PyTorch's; every primitive's own are checked by
differences in tests/ops/test_gradients.py."""

import pytest
import torch

from tests.parity.second import ASPECT, check_second

REAL = (
    "atan2", "cumprod", "digamma", "erfinv", "gather", "hypot", "index_put", "lgamma",
    "linalg.det", "linalg.eigh", "linalg.inv", "linalg.norm", "logit", "logsumexp",
    "masked.normalize", "masked_select", "nn.functional.batch_norm", "nn.functional.bilinear",
    "nn.functional.conv2d", "nn.functional.cosine_similarity", "nn.functional.cross_entropy",
    "nn.functional.gelu", "nn.functional.layer_norm", "nn.functional.softplus", "polar", "pow",
    "prod", "scatter_reduce.prod", "softmax", "special.log_ndtr", "std", "topk", "xlogy",
)  # fmt: skip
COMPLEX = ("abs", "angle", "constant_pad_nd", "fft.fft", "fft.irfftn", "log", "matmul", "sgn")
CASES = [(name, torch.float64) for name in REAL] + [(name, torch.complex128) for name in COMPLEX]


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=lambda v: str(v).removeprefix("torch."))
def test_second_derivative_agrees_with_torch(name, dtype):
    outcome = check_second(name, 1, dtype)
    assert [str(failure) for failure in outcome.failures] == []
    assert outcome.passed[ASPECT] == 1
