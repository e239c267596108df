"""Bad data: the error names the argument, the batch and the fix, and nothing learnt is lost."""

import re

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.tensor.recording import Recording
from ambos.train.batches import Stream

SAME = Recording._looks_same

X = np.random.RandomState(0).randn(24, 3).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def network():
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(3, 2)])
    model.compile(optim.SGD(lr=0.1), "cross_entropy")
    return model


def spoiled(place, value):
    found = X.copy()
    found[place] = value
    return found


def batches(*bad, good=2):
    """An epoch of good batches and then, in the second epoch, a bad one among them."""
    parts = [(X[:8], Y[:8])] * good
    yield from parts
    yield parts[0]
    for one in bad:
        if isinstance(one, Exception):
            raise one
        yield one
    yield from parts


STREAMS = {
    "ragged": (([*X[:7].tolist(), [1.0]], Y[:8]), r"x.*batch 1 of epoch 1"),
    "nan": ((spoiled((5, 0), np.nan)[:8], Y[:8]), r"NaN or infinity in 1 of 8.*row 5.*batch 1"),
    "labels": ((X[:8], Y[:8] + 5), r"batch 1 of epoch 1"),
    "rows": ((X[:8], Y[:5]), r"batch 1 of epoch 1"),
    "features": ((X[:8, :2], Y[:8]), r"got 2 features.*batch 1 of epoch 1"),
    "single": (X[:8], r"need pairs \(x, y\).*batch 1 of epoch 1"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams(case):
    bad, message = STREAMS[case]
    model, twin = network(), network()
    with pytest.raises((ValueError, IndexError, TypeError), match=message):
        model.fit(batches(bad), steps_per_epoch=2, epochs=2, verbose=0)
    assert model.history.epoch == [0]
    twin.fit(batches(), steps_per_epoch=2, epochs=1, verbose=0)
    twin.fit([(X[:8], Y[:8])], verbose=0)
    np.testing.assert_array_equal(model[0].weight.numpy(), twin[0].weight.numpy())
    assert model.training
    model.fit(X, Y, verbose=0)


def test_a_generator_that_raises_or_ends_early():
    model = network()
    with pytest.raises(OSError, match="gone") as caught:
        model.fit(batches(OSError("gone")), steps_per_epoch=2, epochs=2, verbose=0)
    assert "in batch 1 of epoch 1" in caught.value.__notes__[0]
    assert model.history.epoch == [0]
    with pytest.raises(ValueError, match="ended after batch 2 of epoch 0; need 7 batches"):
        model.fit(iter([(X[:8], Y[:8])] * 3), steps_per_epoch=7, verbose=0)


@pytest.mark.parametrize("jit", [True, False])
def test_labels_that_a_step_of_ones_own_cuts_are_looked_at(jit):
    class Own(am.Sequential):
        def train_step(self, data):
            loss = nn.functional.cross_entropy(self(data[0]), data[1][:, 1])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return {"loss": loss}

    model, pairs = Own([nn.Linear(3, 2)]), np.stack([Y, Y], 1)
    model.compile(optim.SGD(lr=0.1), jit=jit)
    pairs[20] = 9, 2
    with pytest.raises(IndexError, match=r"a target is .* 0 <= index < 2 .*\(batch 2 of epoch 0\)"):
        model.fit(X, pairs, batch_size=8, shuffle=False, verbose=0)
    assert model.run.updates == 2
    assert np.isfinite(model[0].weight.numpy()).all()


@pytest.mark.parametrize(
    ("x", "y", "more", "message"),
    [
        (X, Y[:20], {}, "x has 24 rows, y has 20 rows"),
        (X, Y, {"sample_weight": np.ones(3)}, "y has 24 rows, sample_weight has 3 rows"),
        (X[:0], Y[:0], {}, "x is empty"),
        ([], [], {}, "x is empty"),
        (
            spoiled((17, 1), np.inf),
            Y,
            {},
            r"x has NaN or infinity in 1 of 24 rows, first in row 17",
        ),
        (X, Y, {"validation_data": (spoiled((3, 1), np.nan), Y)}, r"validation_data\[0\] has NaN"),
        (X, Y, {"sample_weight": spoiled((2, 0), np.nan)[:, 0]}, "sample_weight has NaN"),
        ([[1.0, 2.0, 3.0], [1.0]], [0, 1], {}, "x.*one shape"),
        (X, Y, {"class_weight": {0: -1.0}}, "class_weight is"),
        (X, np.zeros((len(X), 3), int), {"class_weight": {0: 2.0}}, "several classes in a row"),
        (X, Y, {"class_weight": {1.5: 2.0}}, "class_weight is"),
        (X, Y, {"class_weight": "balanced"}, "class_weight is"),
        (X, Y, {"class_weight": [2.0]}, "lists 1 weights and the .* 2 classes, so class 1 has no"),
        (X, Y, {"class_weight": np.ones(3)}, "lists 3 weights .* there is no class 2; need 2 of"),
        (X, Y, {"accumulate": 0}, "accumulate is 0"),
        (X, Y, {"clip_norm": -1.0}, "clip_norm is -1.0"),
    ],
)
def test_arrays(x, y, more, message):
    model = network()
    before = model[0].weight.numpy()
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(x, y, verbose=0, **more)
    np.testing.assert_array_equal(model[0].weight.numpy(), before)


def test_a_model_may_mean_to_see_nan_and_large_numbers_are_none():
    class Fills(am.Sequential):
        takes_nan = True

        def forward(self, x):
            return super().forward(x.nan_to_num())

    model = Fills([nn.Linear(3, 2)])
    model.compile("sgd", "cross_entropy")
    history = model.fit(spoiled((5, 0), np.nan), Y, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    network().fit(X * 1e30, Y, epochs=1, verbose=0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_numbers_that_only_a_wide_dtype_holds(dtype):
    model = am.Sequential([nn.Linear(4, 1)]).to(getattr(am, dtype))
    model.compile("sgd", "mse")
    x = np.ones((8, 4))
    x[3, 0] = 1e39
    told = r"row 3; need finite numbers \(float32 has none beyond 3.4e\+38\): scale them"
    for data in ((x, x[:, :1]), ([(x, x[:, :1])],)):
        with pytest.raises(ValueError, match=told):
            model.fit(*data, verbose=0)


def test_labels_out_of_range_change_nothing_and_name_the_batch():
    model = network()
    y = Y.copy()
    y[20] = 2
    with pytest.raises(IndexError, match=r"batch 2 of epoch 0"):
        model.fit(X, y, batch_size=8, shuffle=False, verbose=0)
    twin = network()
    twin.fit(X[:16], Y[:16], batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model[0].weight.numpy(), twin[0].weight.numpy())


def test_rows_are_looked_at_when_it_is_their_turn():
    """The batches before have been trained on, the one with NaN has not."""
    model, twin, options = network(), network(), {"shuffle": False, "verbose": 0}
    bad = {"first": X[:, :1], "second": (X[:, 1:2], spoiled((17, 2), np.nan)[:, 2:])}
    named = re.escape("x['second'][1] has NaN or infinity in 1 of 24 rows, first in row 17")

    class Both(am.Sequential):
        def forward(self, first, second):
            return super().forward(am.concatenate([first, *second], 1))

    am.manual_seed(0)
    nest = Both([nn.Linear(3, 2)])
    nest.compile(optim.SGD(lr=0.1), "cross_entropy")
    with pytest.raises(ValueError, match=rf"{named}.*\(batch 2 of x, epoch 0\)"):
        nest.fit(bad, Y, batch_size=8, **options)
    with pytest.raises(ValueError, match=r"1 of 24 rows, first in row 17.*\(batch 2 of x, epoch 0"):
        model.fit(spoiled((17, 2), np.nan), Y, batch_size=8, **options)
    twin.fit(X[:16], Y[:16], batch_size=8, **options)
    for one in (model, nest):
        np.testing.assert_array_equal(one[0].weight.numpy(), twin[0].weight.numpy())
    weights = spoiled((17, 1), np.inf)[:, 1]
    with pytest.raises(ValueError, match=r"evaluate: sample_weight has NaN.*\(batch 2 of x\)"):
        model.evaluate(X, Y, batch_size=8, sample_weight=weights)
    steps = am.loop(model, spoiled((17, 2), np.nan), Y, batch_size=8, shuffle=False)
    with pytest.raises(ValueError, match=r"loop: x has NaN.*\(batch 2 of x, epoch 0\)"):
        assert len([*steps]) < 2
    with pytest.raises(ValueError, match="row 20"):  # set aside: before anything is trained
        twin.fit(spoiled((20, 0), np.nan), Y, validation_split=0.25, verbose=0)
    np.testing.assert_array_equal(model[0].weight.numpy(), twin[0].weight.numpy())


def test_the_batch_is_counted_in_its_epoch():
    x, options = spoiled((17, 2), np.nan), {"steps_per_epoch": 2, "epochs": 2, "verbose": 0}
    found = r"row 17.*\(batch 0 of x, epoch 1\)"
    with pytest.raises(ValueError, match=found):
        network().fit(x, Y, batch_size=8, shuffle=False, **options)
    with pytest.raises(ValueError, match=found.replace("17", "1")):
        network().fit(am.data.DataLoader((x, Y), batch_size=8), **options)


@pytest.mark.parametrize("kind", [am.bfloat16, am.float16, am.float64])
def test_tensors_of_any_kind_and_layout_are_looked_at(kind):
    for shown in (lambda x: x, lambda x: x.T.contiguous().T, lambda x: x[:, ::2], lambda x: x * 2):
        good, bad = (shown(am.tensor(x).to(kind)) for x in (X, spoiled((3, 2), np.inf)))
        refused = pytest.raises(ValueError, match=r"x has NaN or infinity in 1 of 24 rows.* row 3;")
        stream = Stream([(good, Y), (bad, Y)], am.float32, "fit").batches(0)
        next(stream)
        with refused:
            next(stream)


def test_a_call_for_one_batch_leaves_a_recorded_step_at_rest(monkeypatch):
    looks, model, wrapped = [], network(), am.Model(nn.Sequential(nn.Linear(3, 2)))
    wrapped.compile("sgd", "cross_entropy", metrics=["accuracy"])
    monkeypatch.setattr(Recording, "_looks_same", lambda *_: looks.append(1) or SAME(*_))
    for one in (model, wrapped):
        for act in (one.train_on_batch, one.test_on_batch, lambda x, _, one=one: one.predict(x)):
            for _ in range(3):
                act(X, Y)
            looks.clear()
            act(X, Y)
            assert not looks


def test_what_a_callback_spoils_is_found_in_the_next_epoch():
    class Spoils(am.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found[3, 1] = np.inf

    model, found = network(), X.copy()
    with pytest.raises(ValueError, match=r"row 3.*epoch 1"):
        model.fit(found, Y, epochs=3, callbacks=Spoils(), verbose=0)
    assert model.history.epoch == [0]
    assert np.isfinite(model[0].weight.numpy()).all()


def test_tables_in_the_order_of_their_columns_train_the_same():
    found = []
    for x in (X, np.asfortranarray(X), np.repeat(X, 2, 1)[:, ::2], X[::-1].copy()[::-1]):
        model = network()
        model.fit(x, Y, batch_size=5, seed=1, verbose=0)
        found.append(model[0].weight.numpy())
    for each in found:
        np.testing.assert_array_equal(each, found[0])


def test_validation_data_and_a_list_of_batches():
    """As in Keras, `validation_data` wins over `validation_split` and all rows are trained on."""
    both, plain, batched = network(), network(), network()
    options = {"shuffle": False, "batch_size": 8, "verbose": 0}
    wanted = plain.fit(X, Y, validation_data=(X[:7], Y[:7]), **options).history
    found = both.fit(X, Y, validation_split=0.5, validation_data=(X[:7], Y[:7]), **options).history
    assert found == wanted
    parts = [(X[:3], Y[:3]), (X[3:7], Y[3:7])]
    found = batched.fit(X, Y, validation_data=parts, **options).history
    assert found["val_loss"] == pytest.approx(wanted["val_loss"])
    listed = network().fit(X, Y, validation_data=[X[:7], Y[:7]], **options).history
    assert listed == wanted
    assert "val_loss" in network().fit(X, Y, validation_split=0.02, **options).history


def test_a_head_that_was_replaced_is_named():
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(3, 4), nn.Linear(4, 2)])
    model.compile("sgd", "cross_entropy")
    model.fit(X, Y, verbose=0)
    model[1] = nn.Linear(4, 2)
    with pytest.warns(UserWarning, match=r"'1.weight', '1.bias' came into.*compile") as caught:
        model.fit(X, Y, verbose=0)
    assert caught[0].filename == __file__
    model.compile(optim.SGD(model[1].parameters(), lr=0.1), "cross_entropy")
    model.fit(X, Y, verbose=0)  # some of them: no warning, which would be an error here
    other = network()
    other.compile(model.optimizer, "cross_entropy")
    with pytest.raises(ValueError, match=r"\(SGD\) has the parameters of another model"):
        other.fit(X, Y, verbose=0)


def test_messages_say_everything_once():
    with pytest.raises(ValueError, match="got 32 features") as caught:
        network().fit(np.ones((32,), np.float32), np.zeros(32, np.int64), verbose=0)
    text = str(caught.value)
    assert text.startswith("Linear '0': got 32 features")
    assert text.count("batch 0 of epoch 0") == text.count("got 32") == text.count(" [") == 1
    names = am.Sequential([nn.Embedding(3, 2), nn.Flatten(), nn.Linear(6, 2)])
    names.compile("sgd", "cross_entropy")
    with pytest.raises(TypeError) as caught:
        names.fit(np.ones((32, 3)), np.zeros(32, np.int64), verbose=0)
    text = str(caught.value)
    assert text.count(" [") == text.count("]") == text.count("batch 0 of epoch 0") == 1
    spoilt = [(X[:8], Y[:8]), (np.full_like(X, np.nan), Y)]
    for act, where in (
        (lambda: network().fit(spoilt, verbose=0), "(batch 1 of x, epoch 0)"),
        (lambda: network().evaluate(spoilt), "(batch 1 of x)"),
        (lambda: network().fit(X, Y, validation_data=spoilt, verbose=0),
         "(batch 1 of validation_data)"),
        (lambda: network().evaluate([(X, Y), X]), "batch 1 of x is ndarray"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(where)) as caught:
            act()
        assert str(caught.value).count("batch ") == 1


def test_an_empty_batch_is_refused():
    parts = [(X[:8], Y[:8]), (X[:0], Y[:0])]
    for do in (network().fit, network().evaluate):
        with pytest.raises(ValueError, match="batch 1 of x has no rows"):
            do(parts, verbose=0)


def test_errors_of_what_was_passed_in_stay_what_they_are(monkeypatch):
    """Also where its code lies among the libraries, as that of an installed package does."""
    monkeypatch.setattr("ambos.core.misuse.LIBRARIES", (__file__,))

    def fails(*args, **kwargs):
        return None + 1

    class Fails(am.Callback):
        on_epoch_end = on_train_batch_end = fails

    class Model(am.Sequential):
        train_step = fails

    own = Model([nn.Linear(3, 2)])
    own.compile("sgd", "cross_entropy")
    loss, schedule = network(), network()
    loss.compile("sgd", fails)
    schedule.compile("sgd", "cross_entropy", schedule=fails)
    for model, callbacks in ((own, None), (loss, None), (schedule, None), (network(), Fails())):
        with pytest.raises(TypeError, match=r"^unsupported operand type") as caught:
            model.fit(X, Y, callbacks=callbacks, verbose=0)
        assert type(caught.value) is TypeError
        assert caught.traceback[-1].name == "fails"
    with pytest.raises(TypeError, match=r"^unsupported operand type"):
        loss.evaluate(X, Y)
    schedule.compile("sgd", "cross_entropy", schedule=lambda update: None)
    with pytest.raises(ValueError, match=r"compile: schedule\(0\) is None; need a real number"):
        schedule.fit(X, Y, verbose=0)


def test_passes_inside_of_a_pass():
    class Looks(am.Callback):
        def on_test_batch_end(self, batch, logs=None):
            if len(self.found) < 2:
                self.found.append(None)
                self.found[-1] = self.model.evaluate(X[:5], Y[:5])["loss"]

        def on_train_batch_end(self, batch, logs=None):
            self.model.test_on_batch(X[:3], Y[:3])
            rate, self.model.optimizer.lr = self.model.optimizer.lr, 0.0
            self.model.train_on_batch(X[:3], Y[:3])
            self.model.optimizer.lr = rate

    looks, options = Looks(), {"shuffle": False, "batch_size": 8, "verbose": 0}
    looks.found = []
    found, plain = network(), network()
    wanted = plain.fit(X, Y, validation_data=(X, Y), validation_batch_size=8, **options)
    again = found.fit(
        X, Y, validation_data=(X, Y), validation_batch_size=8, callbacks=looks, **options
    )
    assert again.history == wanted.history
    assert looks.found == [plain.evaluate(X[:5], Y[:5])["loss"]] * 2

    class Fits(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.fit(X, Y, verbose=0)

    with pytest.raises(ValueError, match="being trained already"):
        found.fit(X, Y, callbacks=Fits(), verbose=0)
    found.fit(X, Y, verbose=0)


def test_tensors_are_looked_at_too():
    parts = [(am.tensor(X[:8]), am.tensor(Y[:8])), (am.tensor(spoiled((2, 1), np.nan)), Y)]
    model, loader = network(), am.data.DataLoader((spoiled((2, 1), np.inf), Y), batch_size=8)
    for op in ("fit", "evaluate"):
        with pytest.raises(ValueError, match=rf"{op}: x has NaN.* row 2.*batch 1 of x"):
            getattr(model, op)(parts, verbose=0)
        with pytest.raises(ValueError, match=rf"{op}: x has NaN.* row 2.*batch 0 of x"):
            getattr(model, op)(loader, verbose=0)
    assert np.isfinite(model[0].weight.numpy()).all()


def test_numbers_of_python_are_averaged_as_tensors_are():
    class Own(am.Sequential):
        def test_step(self, data):
            loss = nn.functional.cross_entropy(self(data[0]), data[1])
            plain = loss.item()
            return {"a": loss, "b": plain, "c": np.float32(plain), "d": loss.numpy(), "e": "text"}

    model = Own([nn.Linear(3, 2)])
    model.compile("sgd", "cross_entropy", jit=False)
    found = model.evaluate(X[:20], Y[:20], batch_size=8, return_dict=True)
    assert found.pop("e") == "text"
    assert list(found) == list("abcd")
    assert list(found.values()) == pytest.approx([found["a"]] * 4)


@pytest.mark.parametrize(
    ("method", "more"),
    [("fit", {"validation_steps": -1}), ("fit", {"validation_batch_size": 0}),
     ("evaluate", {"steps": 0}), ("evaluate", {"batch_size": -1}),
     ("predict", {"batch_size": -1}), ("predict", {"steps": 0}), ("fit", {"clip_norm": "1"})],
)  # fmt: skip
def test_sizes(method, more):
    y = () if method == "predict" else (Y,)
    with pytest.raises(ValueError, match=rf"{method}: {next(iter(more))} is"):
        getattr(network(), method)(X, *y, verbose=0, **more)


def test_going_on_at_the_end_of_an_epoch_with_metrics_that_no_batch_has_told_anything():
    class Take(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            states.append(self.model.run.state_dict())

    def ranked():
        model = network()
        model.compile(optim.SGD(lr=0.1), "cross_entropy", metrics=["auroc"])
        return model

    states, options = [], {"batch_size": 8, "epochs": 2, "seed": 1, "verbose": 0}
    wanted = ranked().fit(X, Y, callbacks=Take(), **options).history
    for number in (2, 5):
        assert ranked().fit(X, Y, resume=states[number], **options).history == wanted


def test_a_second_optimizer_goes_on_too():
    class Two(am.Sequential):
        def train_step(self, data):
            loss = nn.functional.cross_entropy(self(data[0]), data[1])
            loss.backward()
            for rule in (self.optimizer, self.second):
                rule.step()
                rule.zero_grad()
            return {"loss": loss}

    def two():
        am.manual_seed(0)
        model = Two([nn.Linear(3, 4), nn.Linear(4, 2)])
        model.compile(optim.Adam(model[0].parameters(), lr=0.05))
        model.second = optim.Adam(model[1].parameters(), lr=0.05)
        return model

    class Take(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            states.append(self.model.run.state_dict())

    states, options = [], {"batch_size": 8, "epochs": 2, "seed": 1, "verbose": 0}
    whole, again = two(), two()
    whole.fit(X, Y, callbacks=Take(), **options)
    again.fit(X, Y, resume=states[3], **options)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
