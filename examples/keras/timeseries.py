"""The temperature in twelve hours, forecast by an LSTM from the weather before.

python examples/keras/timeseries.py [--csv jena_climate_2009_2016.csv] [--epochs 10]

`--csv` is a table with a line every ten minutes, the time in the first column and numbers in the
others, of which "T (degC)" is forecast from five days. Without it: from two days, in a year of
weather made of days, seasons and fronts, whose pressure falls before the temperature does.
"""

import argparse

import numpy as np

import ambos as am
from ambos import nn, optim

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--csv", metavar="FILE")
parser.add_argument("--epochs", type=int, default=10)
options = parser.parse_args()
am.manual_seed(0)

if options.csv:
    import pandas as pd

    table = pd.read_csv(options.csv).iloc[:, 1:]
    series, target, step = table.to_numpy("float32"), table.columns.get_loc("T (degC)"), 6
else:
    hours, numbers = np.arange(365 * 24), np.random.default_rng(0)
    fronts = np.convolve(numbers.normal(size=len(hours) + 47), np.hanning(48), "valid")
    seasons = 10 - 8 * np.cos(hours / 8760 * 2 * np.pi) - 4 * np.cos(hours / 24 * 2 * np.pi)
    known = [seasons + fronts, 1000 + 2 * np.roll(fronts, -12)]
    series = (np.stack(known, 1) + numbers.normal(0, 0.5, (len(hours), 2))).astype("float32")
    target, step = 0, 1
past, future = (120 if options.csv else 48) * step, 12 * step

split = int(0.715 * len(series))
mean, spread = series[:split].mean(0), series[:split].std(0)
series = (series - mean) / spread


def windows(rows, **settings):
    """Batches of what was known, and of the temperature twelve hours after."""
    later = rows[past - step + future :, [target]]
    return am.data.timeseries_dataset_from_array(
        rows, later, past // step, sampling_rate=step, **settings
    )


train = windows(series[:split], sequence_stride=step, shuffle=True, seed=0)
validation = windows(series[split:], sequence_stride=step)

inputs = am.Input((past // step, series.shape[1]))
states, _ = nn.LSTM(series.shape[1], 32, batch_first=True)(inputs)
model = am.Model(inputs, nn.Linear(32, 1)(states[:, -1]))
model.compile(optimizer=optim.Adam(lr=3e-3), loss="mse")
model.summary()
history = model.fit(
    train,
    epochs=options.epochs,
    validation_data=validation,
    callbacks=[am.EarlyStopping("val_loss", patience=5, restore_best_weights=True)],
)

forecast, truth = model.predict(validation), np.concatenate([later for _, later in validation])
last = np.concatenate([known[:, -1, [target]] for known, _ in validation])
error, no_change = (float(abs(guess - truth).mean() * spread[target]) for guess in (forecast, last))
print(f"off by {error:.2f} degrees; by {no_change:.2f} if nothing changed")
