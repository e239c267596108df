"""Messages name the function that was called, the argument and the batch."""

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, IndexingError, ShapeError
from ambos.data import DataLoader

X = np.random.RandomState(0).randn(12, 4).astype(np.float32)
Y = np.arange(12) % 3
ONES = np.ones((12, 2))


def made(layers=None):
    model = am.Sequential(layers or [am.nn.Linear(4, 3)])
    model.compile("sgd", "cross_entropy")
    return model


def looped(model, *args, **kwargs):
    for step in am.loop(model, *args, **kwargs):
        step.backward()
        step.update()


CALLS = {
    "fit": lambda model, *args, **more: model.fit(*args, verbose=0, **more),
    "evaluate": lambda model, *args, **more: model.evaluate(*args, **more),
    "train_on_batch": lambda model, *args, **more: model.train_on_batch(*args, **more),
    "test_on_batch": lambda model, *args, **more: model.test_on_batch(*args, **more),
    "loop": looped,
}


@pytest.mark.parametrize("op", CALLS)
@pytest.mark.parametrize(
    "data", [(X[:0], Y[:0]), ([], []), ([],), ((), Y), ({}, Y), ({"x": X[:0]}, Y[:0])],
    ids=["rows", "lists", "list", "tuple", "dict", "dict of rows"],
)  # fmt: skip
def test_what_is_empty_is_named(op, data):
    with pytest.raises(ArgumentError, match=f"^{op}: x is empty; need at least one example"):
        CALLS[op](made(), *data)


@pytest.mark.parametrize("data", [X[:0], [], (), {}])
def test_what_is_empty_is_not_predicted_and_does_not_validate(data):
    for call in (made().predict, made().predict_on_batch):
        with pytest.raises(ArgumentError, match=r"^predict: x is empty"):
            call(data)
    for held_out in (data, (data, Y[:0])):
        with pytest.raises(ArgumentError, match=r"^fit: validation_data is empty"):
            made().fit(X, Y, validation_data=held_out, verbose=0)


@pytest.mark.parametrize("op", CALLS)
def test_the_function_that_was_called_is_named(op):
    with pytest.raises(ArgumentError, match=rf"^{op}: sample_weight is \(12, 2\)"):
        CALLS[op](made(), X, Y, sample_weight=ONES)
    with pytest.raises(ArgumentError, match=f"^{op}: (no target, which|got x without y)"):
        CALLS[op](made(), X)


@pytest.mark.parametrize("given", [{"precision": "int8"}, {"class_weight": [1, 2]}])
def test_an_open_loop_is_named_for_its_settings(given):
    with pytest.raises(ArgumentError, match=f"^loop: {next(iter(given))}"):
        looped(made(), X, Y, **given)


def test_an_open_loop_is_named_for_its_data():
    spoiled = X.copy()
    spoiled[9, 1] = np.nan
    for x, y in ((spoiled, Y), (DataLoader((spoiled, Y), 4), None)):
        given = {} if y is None else {"y": y, "batch_size": 4, "shuffle": False}
        with pytest.raises(ArgumentError, match=r"^loop: x has NaN"):
            looped(made(), x, **given)


def test_the_body_of_an_open_loop_names_the_batch():
    for second, error in (((X[:5], Y[:4]), ShapeError), ((X, Y + 4), IndexingError)):
        with pytest.raises(error, match=r"\(batch 1 of epoch 0\)"):
            looped(made(), [(X, Y), second])
    steps = am.loop(made(), [(X, Y), (X[:, :3], Y)])
    assert next(steps).output.shape == (12, 3)
    step = next(steps)
    with pytest.raises(ShapeError, match=r"\(batch 1 of epoch 0\)"):
        step.output


def test_predict_names_a_batch_without_inputs():
    with pytest.raises(ArgumentError, match=r"^predict: batch 1 of x has no inputs"):
        made().predict([(X, Y), None])


def test_the_line_of_a_gradient_is_that_of_its_forward():
    model = made([am.nn.Embedding(5, 4), am.nn.Flatten(), am.nn.Linear(8, 3)])
    with pytest.raises(IndexingError, match=r"\[test_naming\.py:\d+, in layer '0'\]"):
        model.train_on_batch(np.full((12, 2), 9), Y)


def test_a_list_with_a_ragged_batch_is_no_pair():
    with pytest.raises(ShapeError, match="batch 1 of validation_data is no array"):
        made().fit(X, Y, validation_data=[(X, Y), ([[1, 2], [3]], Y[:2])], verbose=0)


def test_a_finder_of_batch_sizes_says_what_to_do_for_a_loader():
    finder = am.callbacks.BatchSizeFinder(max_size=8)
    with pytest.raises(ArgumentError, match=r"batch_size=finder\.batch_size"):
        made().fit(DataLoader((X, Y), 4), verbose=0, callbacks=[finder])
    made().fit(X, Y, verbose=0, callbacks=[finder])
    made().fit(DataLoader((X, Y), batch_size=finder.batch_size), verbose=0)
