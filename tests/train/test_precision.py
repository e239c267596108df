"""Narrow dtypes: autocast's categories as PyTorch's, loss scaling as PyTorch's, `fit` on both."""

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim

STREAM = np.random.RandomState(0)
X = STREAM.randn(48, 6).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)


def test_results_have_the_dtypes_that_pytorchs_have():
    x, w = X[:4], STREAM.randn(5, 6).astype(np.float32)
    image = STREAM.randn(2, 1, 4, 4).astype(np.float32)
    kernel = STREAM.randn(3, 1, 3, 3).astype(np.float32)
    cases = {
        "linear": lambda a, f, t: f.linear(t(x), t(w)),
        "matmul": lambda a, f, t: t(x) @ t(w).T,
        "conv": lambda a, f, t: f.conv2d(t(image), t(kernel), padding=1),
        "softmax": lambda a, f, t: f.softmax(t(x) @ t(w).T, -1),
        "norm": lambda a, f, t: f.layer_norm(t(x) @ t(w).T, (5,)),
        "loss": lambda a, f, t: f.mse_loss(t(x) @ t(w).T, t(x)[:, :5]),
        "relu": lambda a, f, t: f.relu(t(x) @ t(w).T),
        "mixed": lambda a, f, t: (t(x) @ t(w).T) + t(x)[:, :5],
        "attention": lambda a, f, t: f.scaled_dot_product_attention(*[t(x)[None, None]] * 3),
        "stay": lambda a, f, t: t(x.astype(np.float64)) @ t(w.astype(np.float64)).T,
    }  # fmt: skip
    for name, case in cases.items():
        with am.autocast(dtype=am.bfloat16), torch.autocast("cpu", dtype=torch.bfloat16):
            ours, theirs = case(am, F, am.tensor), case(torch, torch.nn.functional, torch.tensor)
        wanted = str(theirs.dtype).removeprefix("torch.")
        if name in ("softmax", "norm", "loss"):  # PyTorch has these on CUDA in its list
            wanted = "float32"
        assert ours.dtype.name == wanted, name
        np.testing.assert_allclose(
            ours.float().numpy(), theirs.float().numpy(), rtol=4e-2, atol=4e-2, err_msg=name
        )


def test_autocast_nests_decorates_and_is_part_of_a_recording():
    x = am.ones(2, 2)
    seen = []

    @am.jit
    def product(x):
        seen.append(1)
        return x @ x

    @am.autocast(am.float16)
    def narrow():
        return product(x).dtype

    assert product(x).dtype is am.float32
    assert narrow() is am.float16
    with am.autocast("cpu", am.bfloat16):
        with am.autocast(enabled=False):
            assert product(x).dtype is am.float32
        assert product(x).dtype is am.bfloat16
    assert len(seen) == 3
    with pytest.raises(ValueError, match="need bfloat16 or float16"):
        am.autocast(am.int32)


def test_loss_scaling_is_pytorchs():
    """Steps with infinite gradients change nothing, and the scale falls; then it grows."""
    start = X[0]
    ours, theirs = am.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    rule, twin = optim.AdamW([ours], lr=0.1), torch.optim.AdamW([theirs], lr=0.1)
    options = {"init_scale": 8.0, "growth_interval": 3}
    scaler, their_scaler = am.GradScaler(**options), torch.amp.GradScaler("cpu", **options)

    @am.jit
    def step(factor):
        loss = (ours * factor).square().sum()
        scaler.scale(loss).backward()
        scaler.step(rule)
        scaler.update()
        rule.zero_grad()

    for factor in (np.inf, 1.0, 2.0, np.nan, 1.0, 1.0, 3.0, 1.0):
        step(am.tensor(np.float32(factor)))
        loss = (theirs * factor).square().sum()
        their_scaler.scale(loss).backward()
        their_scaler.step(twin)
        their_scaler.update()
        twin.zero_grad()
        np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-6)
        assert scaler.get_scale() == their_scaler.get_scale()
    assert rule.state_dict()["state"][0]["step"] == 6
    again = am.GradScaler()
    again.load_state_dict(their_scaler.state_dict())
    assert again.state_dict() == scaler.state_dict()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_fit_in_narrow_dtypes_keeps_wide_weights(precision):
    def trained(given):
        am.manual_seed(0)
        model = am.Sequential([nn.Linear(6, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 2)])
        model.compile(optim.Adam(lr=0.02), "cross_entropy", ["accuracy"])
        seen = []
        model[0].register_forward_hook(lambda module, args, out: seen.append(out.dtype.name))
        history = model.fit(
            X, Y, epochs=12, batch_size=16, precision=given, clip_norm=1.0, accumulate=2,
            shuffle=False, verbose=0,
        )  # fmt: skip
        return model, history.history, set(seen)

    model, logs, seen = trained(precision)
    _, wanted, _ = trained(None)
    assert seen == {precision}
    assert all(p.dtype is am.float32 for p in model.parameters())
    late = slice(None) if precision == "bfloat16" else slice(-3, None)  # the scale has to fall
    assert logs["loss"][late] == pytest.approx(wanted["loss"][late], rel=0.2, abs=0.03)
    assert logs["loss"] != wanted["loss"]
    assert model.predict(X).dtype == np.float32
    with pytest.raises(ValueError, match="Did you mean 'bfloat16'"):
        model.fit(X, Y, precision="bfloat61", verbose=0)


def test_accumulated_float16_gradients_overflow_where_pytorchs_do():
    """Losses divided by the number of batches, as PyTorch's users write: one scale for both."""
    start = [np.full((6, 2), 0.1, np.float32).T.copy(), np.zeros(2, np.float32)]
    strong, labels = X[:32] * np.float32(64), Y[:32]
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(6, 2)])
    model.compile(optim.SGD(lr=1e-3), "cross_entropy")
    model.load_state_dict({"0.weight": am.tensor(start[0]), "0.bias": am.tensor(start[1])})
    twin = torch.nn.Linear(6, 2)
    twin.load_state_dict({"weight": torch.tensor(start[0]), "bias": torch.tensor(start[1])})
    rule, scaler = torch.optim.SGD(twin.parameters(), lr=1e-3), torch.amp.GradScaler("cpu")
    for epoch in range(3):
        model.fit(strong, labels, epochs=epoch + 1, initial_epoch=epoch, batch_size=16,
                  accumulate=2, precision="float16", shuffle=False, verbose=0)  # fmt: skip
        for number, first in enumerate((0, 16), 1):
            rows = slice(first, first + 16)
            with torch.autocast("cpu", torch.float16):
                found = twin(torch.tensor(strong[rows])).float()
            loss = torch.nn.functional.cross_entropy(found, torch.tensor(labels[rows])) / 2
            scaler.scale(loss).backward()
            if number % 2 == 0:
                scaler.step(rule)
                scaler.update()
                rule.zero_grad()
        assert model.engine.scaler.get_scale() == scaler.get_scale()
        np.testing.assert_allclose(
            model[0].weight.numpy(), twin.weight.detach().numpy(), rtol=2e-2, atol=1e-4
        )
    assert scaler.get_scale() < 65536  # some did overflow


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_of_classes_are_not_rounded_to_the_dtype_of_a_model(dtype):
    """bfloat16 has no 257: labels of tables were those of other classes, in silence."""
    x = np.random.RandomState(0).randn(4, 3).astype(np.float32)

    def fitted(labels, **arguments):
        am.manual_seed(0)
        model = am.Sequential([nn.Linear(3, 3000)]).to(getattr(am, dtype))
        model.compile("sgd", "cross_entropy", ["accuracy"])
        return model.fit(x, labels, verbose=0, shuffle=False, **arguments).history

    for arguments in ({}, {"class_weight": {257: 5.0}}):
        whole = np.array([257, 1029, 3, 1])
        assert fitted(whole.astype(float), **arguments) == fitted(whole, **arguments)
        with pytest.raises(ValueError, match="a label is"):
            fitted(np.array([2.5, 1.0, 0.0, 1.0]), **arguments)
    if dtype == "float16":
        with pytest.raises(ValueError, match=r"up to 2048 only; need integers: y.astype\(int\)"):
            fitted(np.array([2049.0, 1.0, 0.0, 1.0]))
    soft = np.full((4, 3000), 1 / 3000)
    assert np.isfinite(fitted(soft)["loss"]).all()


def test_an_eps_that_is_nothing_in_float16_is_refused():
    model = am.Sequential([nn.Linear(3, 2)]).half()
    x, y = np.ones((4, 3)), np.arange(4) % 2
    model.compile("adam", "cross_entropy")
    with pytest.raises(ValueError, match=r"eps=1e-08 of Adam is 0.* need eps=1e-4, or"):
        model.fit(x, y, verbose=0)
    model.compile(am.optim.Adam(eps=1e-4), "cross_entropy")
    assert np.isfinite(model.fit(x, y, epochs=3, verbose=0).history["loss"]).all()
