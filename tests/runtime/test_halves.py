"""Half precisions on every architecture level: where LLVM calls functions, the same bits."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import ambos as am
from ambos.runtime import loader, machine

LEVELS = [
    level
    for level, (_, _, needed) in machine.LEVELS.items()
    if loader.host()[0].startswith("x86_64")
    and all(loader.host()[2].get(feature) for feature in needed)
]


def digest_of(*found: np.ndarray) -> str:
    return hashlib.sha256(b"".join(part.tobytes() for part in found)).hexdigest()


def numbers() -> np.ndarray:
    """Float32: all that are float16, what lies between them, and any bits at all."""
    steps = np.array([0, 1, 0xFFF, 0x1000, 0x1001, 0x1FFF], np.uint32)
    near = every().astype(np.float32).view(np.uint32)[:, None] + steps
    anything = np.random.default_rng(0).integers(0, 1 << 32, 1 << 16, dtype=np.uint32)
    return np.concatenate([near.ravel(), anything]).view(np.float32)


def every() -> np.ndarray:
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def computed() -> str:
    """Conversions both ways and a product, of vectors and of a single number."""
    single = am.tensor(numbers())
    a = am.tensor(numbers()[: 37 * 53]).reshape(37, 53).half()
    results = [
        am.tensor(every()).float(), single.half(), single.double().half(),
        a @ a.T, a[3, 4] * 2, a[3, 4].float(),
    ]  # fmt: skip
    narrow = single.bfloat16()
    wide = [narrow.float(), (narrow[:999] * 3).float(), narrow[7].float()]
    return digest_of(*(result.numpy() for result in (*results, *wide)))


@pytest.mark.parametrize("level", LEVELS)
def test_bits_of_every_level(level):
    code = f"from {__name__} import computed; print(computed())"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"AMBOS_CPU": level},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == computed()


def test_conversions_are_those_of_numpy():
    with np.errstate(all="ignore"):
        pairs = [
            (am.tensor(every()).float().numpy(), every().astype(np.float32)),
            (am.tensor(numbers()).half().numpy(), numbers().astype(np.float16)),
        ]
    for found, wanted in pairs:
        numeric = ~np.isnan(wanted)
        assert np.isnan(found[~numeric]).all()
        assert digest_of(found[numeric]) == digest_of(wanted[numeric])  # signs of zeros as well
