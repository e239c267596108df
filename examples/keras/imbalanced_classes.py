"""A classifier of rare cases: classes weighted in the loss, counts of what is found and missed.

python examples/keras/imbalanced_classes.py [--csv creditcard.csv] [--unweighted] [--epochs 30]

`--csv` is a table with a line of names and the class, 0 or 1, in the last column, such as Kaggle's
credit card frauds. Without it: the tumours inside ambos, of which one malignant in eight is kept,
so that they are as rare in validation as in training.
"""

import argparse

import numpy as np

import ambos as am
from ambos import metrics, nn, optim

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--csv", metavar="FILE")
parser.add_argument("--unweighted", action="store_true")
parser.add_argument("--epochs", type=int, default=30)
options = parser.parse_args()
am.manual_seed(0)

if options.csv:
    with open(options.csv) as file:
        lines = (line.replace('"', "") for line in file)
        table = np.loadtxt(lines, "float32", delimiter=",", skiprows=1)
    features, targets = table[:, :-1], table[:, -1:]
    is_train = np.arange(len(table)) < 0.8 * len(table)
else:
    features, benign = am.data.breast_cancer()
    kept = (benign == 1) | (np.cumsum(1 - benign) % 8 == 0)
    features, targets = features[kept], (1 - benign[kept, None]).astype("float32")
    place = np.where(targets[:, 0], np.cumsum(targets), np.cumsum(1 - targets))  # among its class
    is_train = place % 3 > 0
train_features, train_targets = features[is_train], targets[is_train]
val_features, val_targets = features[~is_train], targets[~is_train]

negative, positive = np.bincount(train_targets[:, 0].astype(int))
print(f"{positive} positive samples in training data ({positive / len(train_targets):.2%} of all)")

width = 256 if options.csv else 16
normalize = nn.Normalization()
normalize.adapt(train_features)
model = am.Sequential(
    [
        normalize,
        nn.LazyLinear(width),
        nn.ReLU(),
        nn.LazyLinear(width),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.LazyLinear(width),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.LazyLinear(1),
    ]
)
model.summary(features.shape[1:])

model.compile(
    optimizer=optim.Adam(lr=1e-3),
    loss="binary_cross_entropy_with_logits",
    metrics=[
        metrics.FalseNegatives(name="fn"),
        metrics.FalsePositives(name="fp"),
        metrics.TrueNegatives(name="tn"),
        metrics.TruePositives(name="tp"),
        "precision",
        "recall",
    ],
)
model.fit(
    train_features,
    train_targets,
    batch_size=2048 if options.csv else 32,
    epochs=options.epochs,
    validation_data=(val_features, val_targets),
    class_weight=None if options.unweighted else {0: 1 / negative, 1: 1 / positive},
)
score = model.evaluate(val_features, val_targets)
print("{tp:.0f} found, {fn:.0f} missed, {fp:.0f} flagged without reason".format(**score))
