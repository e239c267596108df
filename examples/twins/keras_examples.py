"""The networks of `examples/keras` in Keras 3, on the same data: scores and times to compare with.

KERAS_BACKEND=jax python -m examples.twins.keras_examples image_classification

Prints the seconds of the processor from the first layer to the last prediction, and the score. The
GAN is missing: a `train_step` of one's own is another one for each backend of Keras.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

import ambos as am

Found = dict[str, float]
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
YES_NO = keras.losses.BinaryCrossentropy(from_logits=True)


def last(images: np.ndarray) -> np.ndarray:
    """Images as Keras takes them, channels last."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def conv(width: int) -> Any:
    return layers.Conv2D(width, 3, padding="same", activation="relu")


def image_classification() -> Found:
    (x, y), (x_test, y_test) = am.data.digits(test_fraction=0.2)
    model = keras.Sequential([
        conv(32), layers.MaxPooling2D(2), conv(64), layers.MaxPooling2D(2), layers.Flatten(),
        layers.Dropout(0.5), layers.Dense(10),
    ])  # fmt: skip
    model.compile("adam", LOGITS, metrics=["accuracy"])
    model.fit(last(x), y, batch_size=128, epochs=20, validation_split=0.1, verbose=0)
    return {"accuracy": model.evaluate(last(x_test), y_test, verbose=0)[1]}


def imbalanced_classes() -> Found:
    features, benign = am.data.breast_cancer()
    kept = (benign == 1) | (np.cumsum(1 - benign) % 8 == 0)
    features, targets = features[kept], (1 - benign[kept, None]).astype("float32")
    place = np.where(targets[:, 0], np.cumsum(targets), np.cumsum(1 - targets))
    is_train = place % 3 > 0
    x, y, x_val, y_val = (
        part[rows] for rows in (is_train, ~is_train) for part in (features, targets)
    )
    negative, positive = np.bincount(y[:, 0].astype(int))
    normalize = layers.Normalization()
    normalize.adapt(x)
    hidden = [layers.Dense(16, activation="relu") for _ in range(3)]
    model = keras.Sequential([
        normalize, *hidden[:2], layers.Dropout(0.3), hidden[2], layers.Dropout(0.3),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    metrics = [keras.metrics.Precision(), keras.metrics.Recall()]
    model.compile("adam", "binary_crossentropy", metrics=metrics)
    weights = {0: 1 / negative, 1: 1 / positive}
    model.fit(x, y, batch_size=32, epochs=30, class_weight=weights, verbose=0,
              validation_data=(x_val, y_val))  # fmt: skip
    _, precision, recall = model.evaluate(x_val, y_val, verbose=0)
    return {"precision": precision, "recall": recall}


def timeseries() -> Found:
    hours, numbers = np.arange(365 * 24), np.random.default_rng(0)
    fronts = np.convolve(numbers.normal(size=len(hours) + 47), np.hanning(48), "valid")
    seasons = 10 - 8 * np.cos(hours / 8760 * 2 * np.pi) - 4 * np.cos(hours / 24 * 2 * np.pi)
    known = np.stack([seasons + fronts, 1000 + 2 * np.roll(fronts, -12)], 1)
    series = (known + numbers.normal(0, 0.5, known.shape)).astype("float32")
    split = int(0.715 * len(series))
    mean, spread = series[:split].mean(0), series[:split].std(0)
    series = (series - mean) / spread
    (x, y), (x_val, y_val) = (
        next(iter(am.data.timeseries_dataset_from_array(
            rows, rows[48 - 1 + 12 :, [0]], 48, batch_size=len(rows))))
        for rows in (series[:split], series[split:])
    )  # fmt: skip
    model = keras.Sequential([layers.LSTM(32), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    stop = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    model.fit(x, y, batch_size=128, epochs=10, validation_data=(x_val, y_val), callbacks=[stop],
              verbose=0)  # fmt: skip
    return {"degrees": float(abs(model.predict(x_val, verbose=0) - y_val).mean() * spread[0])}


def autoencoder() -> Found:
    (train, _), (test, _) = am.data.digits(test_fraction=0.2)
    numbers = np.random.default_rng(0)
    noisy, noisy_test = (
        np.clip(images + numbers.normal(0, 0.4, images.shape), 0, 1).astype("float32")
        for images in (train, test)
    )
    train, test, noisy, noisy_test = map(last, (train, test, noisy, noisy_test))
    model = keras.Sequential([
        conv(32), layers.MaxPooling2D(2), conv(32), layers.MaxPooling2D(2),
        conv(32), layers.UpSampling2D(2), conv(32), layers.UpSampling2D(2),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    ])  # fmt: skip
    model.compile("adam", "binary_crossentropy")
    for x, x_test in ((train, test), (noisy, noisy_test)):
        model.fit(x, train, batch_size=32, epochs=20, validation_data=(x_test, test), verbose=0)
    return {"error": float(((model.predict(noisy_test, verbose=0) - test) ** 2).mean())}


def multi_input() -> Found:
    numbers = np.random.default_rng(0)
    department = numbers.integers(4, size=2560)

    def words(length: int) -> np.ndarray:
        own = 20 * department[:, None] + numbers.integers(20, size=(len(department), length))
        others = numbers.integers(100, 1000, own.shape)
        return np.where(numbers.random(own.shape) < 0.25, own, others)

    title, body = words(6), words(20)
    body[::3, -1] = 999
    tags = numbers.integers(2, size=(len(department), 12)).astype("float32")
    urgent = (body[:, -1] == 999) | (tags[:, :2].sum(1) == 2)
    embedding, drop = layers.Embedding(1000, 32), layers.Dropout(0.4)
    inputs = [keras.Input((6,), name="title"), keras.Input((20,), name="body"),
              keras.Input((12,), name="tags")]  # fmt: skip
    read = [layers.LSTM(32)(drop(embedding(text))) for text in inputs[:2]]
    x = layers.concatenate([*read, inputs[2]])
    outputs = {"priority": layers.Dense(1, name="priority")(x),
               "department": layers.Dense(4, name="department")(x)}  # fmt: skip
    model = keras.Model(inputs, outputs)
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    model.compile(
        keras.optimizers.RMSprop(3e-3),
        loss={"priority": YES_NO, "department": LOGITS},
        loss_weights={"priority": 1.0, "department": 0.5},
        metrics={"priority": [accuracy], "department": ["accuracy"]},
    )
    history = model.fit(
        {"title": title, "body": body, "tags": tags},
        {"priority": urgent.astype("float32")[:, None], "department": department},
        epochs=5, batch_size=32, validation_split=0.2, verbose=0,
    ).history  # fmt: skip
    return {name: history[f"val_{name}_accuracy"][-1] for name in ("department", "priority")}


def transfer_learning() -> Found:
    images, labels = am.data.digits()
    images, is_old = last(images), labels < 5
    base = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(32, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.Flatten(),
    ])  # fmt: skip
    first = keras.Sequential([base, layers.Dense(5)])
    first.compile("adam", LOGITS, metrics=["accuracy"])
    first.fit(images[is_old], labels[is_old], epochs=10, verbose=0)
    new = np.concatenate([np.where(labels == digit)[0][:10] for digit in range(5, 10)])
    rest = np.setdiff1d(np.where(~is_old)[0], new)
    base.trainable = False
    inputs = keras.Input((8, 8, 1))
    x = base(layers.RandomRotation(0.03)(inputs), training=False)
    model = keras.Model(inputs, layers.Dense(5)(layers.Dropout(0.2)(x)))
    found = {}
    for name, rate, epochs in (("frozen", 1e-2, 20), ("tuned", 1e-3, 10)):
        base.trainable = name == "tuned"
        model.compile(keras.optimizers.Adam(rate), LOGITS, metrics=["accuracy"])
        model.fit(images[new], labels[new] - 5, batch_size=16, epochs=epochs, verbose=0,
                  validation_data=(images[rest], labels[rest] - 5))  # fmt: skip
        found[name] = model.evaluate(images[rest], labels[rest] - 5, verbose=0)[1]
    return found


def structured_data() -> Found:
    numbers, count = np.random.default_rng(0), 1500
    table = {
        "age": numbers.integers(29, 78, count), "trestbps": numbers.normal(131, 17, count),
        "chol": numbers.normal(246, 51, count), "thalach": numbers.normal(149, 23, count),
        "oldpeak": numbers.exponential(1, count), "slope": numbers.integers(1, 4, count),
        "thal": numbers.choice(["normal", "fixed", "reversible"], count, p=[0.55, 0.06, 0.39]),
    }  # fmt: skip
    for name, kinds in {"sex": 2, "cp": 5, "fbs": 2, "restecg": 3, "exang": 2, "ca": 4}.items():
        table[name] = numbers.integers(kinds, size=count)
    odds = 0.08 * (table["age"] - 54) - 0.06 * (table["thalach"] - 149) + 1.2 * table["oldpeak"]
    odds += 3 * (table["cp"] == 4) + 1.5 * table["ca"] + 3 * (table["thal"] == "reversible") - 6
    y = (numbers.random(count) < 1 / (1 + np.exp(-odds))).astype("float32")
    is_val = np.random.default_rng(1337).random(count) < 0.2
    columns = []
    for name, column in table.items():
        if column.dtype.kind == "f" or name in ("age", "slope"):
            known = column[~is_val]
            columns.append((column[:, None] - known.mean()) / known.std())
        else:  # Keras's lookups need TensorFlow; ours give the same rows
            kind = am.data.StringLookup if name == "thal" else am.data.IntegerLookup
            lookup = kind(output_mode="multi_hot")
            lookup.adapt(column[~is_val])
            columns.append(lookup(column[:, None]))
    x = np.concatenate(columns, 1).astype("float32")
    model = keras.Sequential(
        [layers.Dense(32, activation="relu"), layers.Dropout(0.5), layers.Dense(1)]
    )
    model.compile("adam", YES_NO, metrics=["accuracy"])
    model.fit(x[~is_val], y[~is_val, None], batch_size=32, epochs=50, verbose=0,
              validation_data=(x[is_val], y[is_val, None]))  # fmt: skip
    return {"accuracy": model.evaluate(x[is_val], y[is_val, None], verbose=0)[1]}


TWINS: dict[str, Callable[[], Found]] = {
    made.__name__: made
    for made in (image_classification, imbalanced_classes, timeseries, autoencoder, multi_input,
                 structured_data, transfer_learning)
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(TWINS))
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    start = time.process_time()
    scores = TWINS[options.name]()
    seconds = time.process_time() - start
    print(
        options.name, f"{seconds:.1f} s", *(f"{key} {score:.4f}" for key, score in scores.items())
    )


if __name__ == "__main__":
    main()
