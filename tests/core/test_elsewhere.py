"""Names of Keras: each answers with what is written here, which is there."""

import os
import re

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.elsewhere import ELSEWHERE
from ambos.core.errors import UnknownNameError

keras = pytest.importorskip("keras")
# Keras hands NumPy its variables in the way of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOMS = {"ambos": am, "ambos.nn": nn, "ambos.optim": am.optim, "Model": am.Model(nn.Identity())}
NAMED = re.compile(r"\b(?:am|nn)(?:\.[a-zA-Z_]\w*)+")


@pytest.mark.parametrize("room", ROOMS)
def test_each_name_answers_with_what_is_there(room):
    for name, fix in ELSEWHERE[room].items():
        with pytest.raises(UnknownNameError, match=re.escape(fix)):
            getattr(ROOMS[room], name)
        for path in NAMED.findall(fix):
            found = {"am": am, "nn": nn}[path.partition(".")[0]]
            for part in path.split(".")[1:]:
                found = getattr(found, part)


def test_layers_and_losses_are_those_of_keras():
    theirs = {*dir(keras.layers), *dir(keras.losses)}
    assert set(ELSEWHERE["ambos.nn"]) - theirs == {"Model"}


COMPUTED = {
    "GlobalAveragePooling1D": (lambda x: x.mean(2), (2, 3, 5), ()),
    "GlobalMaxPooling2D": (lambda x: x.amax((2, 3)), (2, 3, 5, 4), ()),
    "Cropping1D": (lambda x: x[:, :, 1:-1], (2, 3, 5), ()),
    "RepeatVector": (lambda x: x[:, None].repeat(1, 3, 1), (2, 3), (3,)),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_expressions_compute_what_the_layers_do(name):
    ours, shape, arguments = COMPUTED[name]
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    wanted = getattr(keras.layers, name)(*arguments)(np.moveaxis(x, 1, -1))
    found = ours(am.tensor(x)).numpy()
    channels_last = np.moveaxis(found, 1, -1) if len(shape) == found.ndim > 2 else found
    np.testing.assert_array_equal(channels_last, wanted)
