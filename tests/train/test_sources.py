"""What `fit` is given: datasets of examples, of batches, and what may be either."""

import numpy as np
import pytest
import torch

import ambos as am
from tests.train.test_fit_arguments import X, Y, network, same


class Rows(am.data.Dataset):
    """Examples by index, as PyTorch's datasets give them."""

    def __init__(self, x=X, y=Y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


class OfTorch(torch.utils.data.Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return torch.tensor(X[index]), int(Y[index])


def pipeline(rows):
    return am.data.Dataset.from_tensor_slices((X, Y)).map(lambda x, y: (2 * x / 2, y)).take(rows)


SAMPLES = {
    "examples": Rows,
    "of PyTorch": OfTorch,
    "pipeline": lambda: pipeline(len(X)),
    "subset": lambda: am.data.Subset(Rows(), range(len(X))),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_examples_are_taken_as_the_rows_of_arrays_are(kind):
    arrays, samples, data = network(), network(), SAMPLES[kind]()
    arrays.fit(X, Y, seed=1, verbose=0, validation_data=(X, Y))
    samples.fit(data, seed=1, verbose=0, validation_data=data)
    same(samples, arrays)
    for name, values in arrays.history.history.items():
        assert samples.history.history[name] == pytest.approx(values)
    assert samples.evaluate(data) == pytest.approx(samples.evaluate(X, Y))
    np.testing.assert_array_equal(samples.predict(data), samples.predict(X))


def test_batches_are_taken_as_they_are_and_streams_of_examples_are_batched():
    def examples():
        return zip(X, Y, strict=True)

    generated = am.data.Dataset.from_generator
    arrays = network()
    arrays.fit(X, Y, batch_size=20, shuffle=False, verbose=0)
    for data in (
        pipeline(len(X)).batch(20),
        pipeline(len(X)).batch(20).map(lambda x, y: (x, y)).prefetch(1),
        generated(examples).batch(20),
        generated(lambda: iter(pipeline(len(X)).batch(20))),
        am.data.DataLoader(Rows(), batch_size=20),
    ):
        model = network()
        model.fit(data, verbose=0)
        same(model, arrays)
        if not isinstance(data, am.data.Dataset) or data.batched:
            for act in (model.fit, model.evaluate, model.predict):
                with pytest.raises(ValueError, match=r"batches already; need no batch_size"):
                    act(data, batch_size=8)
            with pytest.raises(ValueError, match=r"need no validation_batch_size beside it"):
                model.fit(X, Y, validation_data=data, validation_batch_size=8, verbose=0)
    stream = network()
    stream.fit(pipeline(len(X)).filter(lambda x, y: True), verbose=0)
    arrays = network()
    arrays.fit(X, Y, shuffle=False, verbose=0)
    same(stream, arrays)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: am.data.Dataset.from_tensor_slices({"size": X, "kind": Y}),
         r"is dict; need pairs.*map\(lambda row: \(row\['size'\], row\['kind'\]\)"),
        (lambda: am.data.Dataset.from_generator(lambda: zip(X, Y, strict=True)),
         r"one example.*x \(4,\), y \(\).*batch_size=32.*\.batch\(32\)"),
        (lambda: am.data.Dataset.from_generator(lambda: ((x, x[:1]) for x in X)),
         r"one example.*x \(4,\), y \(1,\)"),
        (lambda: am.data.DataLoader(Rows(), batch_size=None),
         r"one example.*DataLoader.*batch_size"),
        (lambda: Rows(X[:48].reshape(6, 8, 4), Y[:48].reshape(6, 8)),
         r"batches already.*x \(8, 4\), y \(8,\).*batch_size=.*batch_size=None"),
    ],
)  # fmt: skip
def test_what_may_be_either_is_asked_for(data, message):
    model = network()
    for act in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            act(data(), verbose=0)
    model.fit(X, Y, validation_data=Rows(), verbose=0)
    with pytest.raises(ValueError, match="validation_data"):
        model.fit(X, Y, validation_data=data(), verbose=0)
