"""Names that other frameworks have, and what is written in their place here."""

from __future__ import annotations

LAYERS = {
    "Activation": "nn.ReLU(), nn.Tanh(), ..., or one of nn.functional in a forward",
    "ActivityRegularization": "a compute_loss of the model's own that adds it",
    "Add": "a + b",
    "AdditiveAttention": "nn.functional.scaled_dot_product_attention, or nn.MultiheadAttention",
    "Attention": "nn.functional.scaled_dot_product_attention",
    "Average": "(a + b) / 2",
    "BatchNormalization": "nn.BatchNorm1d, nn.BatchNorm2d or nn.BatchNorm3d, or nn.LazyBatchNorm1d",
    "Bidirectional": "nn.LSTM(inputs, units, batch_first=True, bidirectional=True); GRU and RNN "
    "take it as well",
    "CategoryEncoding": "am.data.CategoryEncoding",
    "Concatenate": "am.concatenate([a, b], 1)",
    "Dense": "nn.LazyLinear(units), or nn.Linear(inputs, units)",
    "Discretization": "am.data.Discretization",
    "Dot": "(a * b).sum(-1), or a @ b",
    "EinsumDense": "am.einsum in a forward",
    "GaussianDropout": "x * (1 + std * am.randn_like(x)) in a forward, while self.training",
    "GaussianNoise": "x + std * am.randn_like(x) in a forward, while self.training",
    "GroupNormalization": "nn.GroupNorm(groups, channels)",
    "Hashing": "am.data.Hashing",
    "InputLayer": "am.Input((...)) of a functional model; an am.Sequential needs none",
    "IntegerLookup": "am.data.IntegerLookup",
    "Lambda": "a module with this in its forward; between the layers of a functional model it may "
    "stand as it is",
    "Layer": "nn.Module",
    "LayerNormalization": "nn.LayerNorm(size)",
    "Masking": "the lengths of the rows: there are no masks (docs/training.md, 'Rows of several "
    "lengths')",
    "Maximum": "am.maximum(a, b)",
    "Minimum": "am.minimum(a, b)",
    "MultiHeadAttention": "nn.MultiheadAttention(size, heads, batch_first=True)",
    "Multiply": "a * b",
    "Permute": "x.permute(...) in a forward",
    "RMSNormalization": "nn.RMSNorm(size)",
    "RepeatVector": "x[:, None].repeat(1, n, 1) in a forward",
    "Reshape": "nn.Unflatten(1, (...)), or x.reshape(...) in a forward",
    "Resizing": "nn.Upsample(size=(height, width)), or nn.functional.interpolate",
    "SimpleRNN": "nn.RNN(inputs, units, batch_first=True)",
    "SimpleRNNCell": "nn.RNNCell",
    "SpectralNormalization": "nn.utils.parametrizations.spectral_norm(layer)",
    "StringLookup": "am.data.StringLookup",
    "Subtract": "a - b",
    "TextVectorization": "am.data.TextVectorization",
    "TimeDistributed": "the layer itself: nn.Linear takes (N, L, C)",
    "UnitNormalization": "nn.functional.normalize(x)",
}


def of_axes(n: int) -> dict[str, str]:
    """Layers on as many axes behind examples and channels."""
    found = {
        f"Conv{n}D": f"nn.LazyConv{n}d(filters, size), or nn.Conv{n}d(channels, filters, size); "
        "channels come first, (N, C, ...)",
        f"Conv{n}DTranspose": f"nn.LazyConvTranspose{n}d(filters, size)",
        f"Cropping{n}D": f"x[:, :{', 1:-1' * n}] in a forward",
        f"SpatialDropout{n}D": f"nn.Dropout{n}d",
        f"UpSampling{n}D": "nn.Upsample(scale_factor=2)",
        f"ZeroPadding{n}D": f"nn.ZeroPad{n}d",
    }
    if n < 3:
        grouped = f"nn.Conv{n}d(channels, channels, size, groups=channels)"
        found[f"DepthwiseConv{n}D"] = grouped
        found[f"SeparableConv{n}D"] = f"{grouped}, and nn.Conv{n}d(channels, filters, 1) behind it"
    axes = ("2", "(2, 3)", "(2, 3, 4)")[n - 1]
    for kind, name, spellings in (
        ("Avg", "mean", ("AveragePooling", "AvgPool")),
        ("Max", "amax", ("MaxPooling", "MaxPool")),
    ):
        for spelling in spellings:
            found[f"{spelling}{n}D"] = f"nn.{kind}Pool{n}d(size)"
            found[f"Global{spelling}{n}D"] = (
                f"nn.Adaptive{kind}Pool{n}d(1) and nn.Flatten(), or x.{name}({axes}) in a forward"
            )
    return found


OF_AXES = of_axes(1) | of_axes(2) | of_axes(3)
LOSSES = {
    "BinaryCrossentropy": "nn.BCEWithLogitsLoss, or nn.BCELoss of probabilities",
    "CTC": "nn.CTCLoss",
    "CategoricalCrossentropy": "nn.CrossEntropyLoss, of logits",
    "Huber": "nn.HuberLoss",
    "KLDivergence": "nn.KLDivLoss",
    "MeanAbsoluteError": "nn.L1Loss",
    "MeanSquaredError": "nn.MSELoss",
    "Poisson": "nn.PoissonNLLLoss",
    "SparseCategoricalCrossentropy": "nn.CrossEntropyLoss, of logits",
}

# By room: the name there, and what it is here.
ELSEWHERE: dict[str, dict[str, str]] = {
    "ambos": LAYERS | OF_AXES | {
        "Functional": "am.Model(inputs=..., outputs=...)",
        "GradientTape": "loss.backward(), or am.value_and_grad",
        "Variable": "nn.Parameter",
        "activations": "am.nn.functional",
        "applications": "am.models",
        "backend": "am itself: am.exp, am.mean, ...",
        "constraints": "am.nn.utils.parametrize",
        "datasets": "am.data",
        "distribution": "am.distributed",
        "initializers": "am.nn.init",
        "keras": "am itself: am.Model, am.Sequential, am.nn, am.optim, am.callbacks, am.metrics",
        "layers": "am.nn",
        "losses": "am.nn, and by name in compile",
        "mixed_precision": "fit(precision='bfloat16'), or am.autocast",
        "optimizers": "am.optim",
        "preprocessing": "am.data, and nn.Rescaling, nn.Normalization and the like",
        "regularizers": "weight_decay of the optimizer, or a compute_loss of the model's own",
        "saving": "am.save and am.load, model.save and am.Model.load",
        "utils": "am.data, am.viz and am.nn.utils",
    },
    "ambos.nn": LAYERS | OF_AXES | LOSSES | {"Input": "am.Input((...))", "Model": "am.Model"},
    "ambos.optim": {
        "LossScaleOptimizer": "am.GradScaler, or fit(precision='float16')",
        "schedules": "am.optim.lr_scheduler",
    },
    "Model": {
        "build": "a call on one batch, model(x)",
        "count_params": "sum(p.numel() for p in model.parameters())",
        "get_config": "model.save(path)",
        "get_weights": "model.state_dict()",
        "layers": "list(model.children())",
        "load_weights": "model.load_state_dict(am.load(path))",
        "metrics_names": "model.evaluate(x, y).keys()",
        "reset_states": "a call without a state, lstm(x): nn.LSTM keeps none",
        "save_weights": "am.save(model.state_dict(), path)",
        "set_weights": "model.load_state_dict(state)",
        "to_json": "model.save(path)",
        "trainable_variables": "model.parameters()",
        "trainable_weights": "model.parameters()",
        "weights": "model.state_dict()",
    },
}  # fmt: skip


def needed(room: str, name: str) -> str | None:
    """What is written here for the `name` that others have; None where nothing is known.

    Example:
        >>> needed("ambos.nn", "MaxPooling2D")
        'nn.MaxPool2d(size)'
    """
    return ELSEWHERE.get(room, {}).get(name)
