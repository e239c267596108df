"""Heart disease from columns of numbers, integers and words.

python examples/keras/structured_data.py [--csv heart.csv] [--epochs 50]

`--csv` is the original's table. Without it patients are made up, with the same columns: age, chest
pain, vessels, exercise and thal decide the odds.
"""

import argparse

import numpy as np

import ambos as am
from ambos import nn
from ambos.data import Dataset, IntegerLookup, StringLookup

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--csv", metavar="FILE")
parser.add_argument("--epochs", type=int, default=50)
options = parser.parse_args()
am.manual_seed(0)

if options.csv:
    rows = np.genfromtxt(options.csv, delimiter=",", names=True, dtype=None, encoding="utf-8")
    table = {name: rows[name] for name in rows.dtype.names}
else:
    numbers, count = np.random.default_rng(0), 1500
    table = {
        "age": numbers.integers(29, 78, count),
        "trestbps": numbers.normal(131, 17, count),
        "chol": numbers.normal(246, 51, count),
        "thalach": numbers.normal(149, 23, count),
        "oldpeak": numbers.exponential(1, count),
        "slope": numbers.integers(1, 4, count),
        "thal": numbers.choice(["normal", "fixed", "reversible"], count, p=[0.55, 0.06, 0.39]),
    }
    for name, kinds in {"sex": 2, "cp": 5, "fbs": 2, "restecg": 3, "exang": 2, "ca": 4}.items():
        table[name] = numbers.integers(kinds, size=count)
    odds = 0.08 * (table["age"] - 54) - 0.06 * (table["thalach"] - 149) + 1.2 * table["oldpeak"]
    odds += 3 * (table["cp"] == 4) + 1.5 * table["ca"] + 3 * (table["thal"] == "reversible") - 6
    table["target"] = (numbers.random(count) < 1 / (1 + np.exp(-odds))).astype(int)

target = table.pop("target")
is_val = np.random.default_rng(1337).random(len(target)) < 0.2
train_table, val_table = ({name: column[kept] for name, column in table.items()}
                          for kept in (~is_val, is_val))  # fmt: skip
print(f"Using {sum(~is_val)} samples for training and {sum(is_val)} for validation")

encoders = {}
for name, column in train_table.items():
    if name in ("sex", "cp", "fbs", "restecg", "exang", "ca", "thal"):
        kind = StringLookup if name == "thal" else IntegerLookup
        encoders[name] = kind(output_mode="multi_hot")
        encoders[name].adapt(column)


def encode(rows):
    """Categories as places of rows, numbers as they are."""
    columns = {name: np.asarray(column)[:, None] for name, column in rows.items()}
    return {
        name: encoders[name](column) if name in encoders else column.astype("float32")
        for name, column in columns.items()
    }


train_ds = Dataset.from_tensor_slices((train_table, target[~is_val].astype("float32")[:, None]))
val_ds = Dataset.from_tensor_slices((val_table, target[is_val].astype("float32")[:, None]))
train_ds = train_ds.shuffle(seed=0).batch(32).map(lambda x, y: (encode(x), y))
val_ds = val_ds.batch(32).map(lambda x, y: (encode(x), y)).cache()

inputs, features = [], []
for name, column in train_table.items():
    width = encoders[name].vocabulary_size() if name in encoders else 1
    inputs.append(am.Input((width,), name=name))
    features.append(inputs[-1])
    if name not in encoders:
        normalize = nn.Normalization()
        normalize.adapt(column[:, None])
        features[-1] = normalize(inputs[-1])
x = am.concatenate(features, 1)
x = nn.Dropout(0.5)(nn.ReLU()(nn.Linear(x.shape[1], 32)(x)))
model = am.Model(inputs, nn.Linear(32, 1)(x))
model.compile("adam", "binary_cross_entropy_with_logits", metrics=["accuracy"])
am.plot_model(model, next(iter(val_ds))[0], to_file="structured_data.svg")

model.fit(train_ds, epochs=options.epochs, validation_data=val_ds)

sample = {"age": 60, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2,
          "thalach": 150, "exang": 0, "oldpeak": 2.3, "slope": 3, "ca": 0,
          "thal": "fixed"}  # fmt: skip
chance = am.sigmoid(model.predict(encode({name: [value] for name, value in sample.items()})))
print(f"This patient has a heart disease with a chance of {chance.item():.1%}")
