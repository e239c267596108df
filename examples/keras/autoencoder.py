"""A convolutional autoencoder copies handwritten digits, then learns to take noise out of them.

python examples/keras/autoencoder.py [--mnist FOLDER] [--epochs 20] [--picture digits.png]

The digits are those inside ambos, 8x8, or MNIST (downloaded into the folder unless it is there).
"""

import argparse

import numpy as np
from PIL import Image

import ambos as am
import ambos.nn.functional as F
from ambos import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--mnist", metavar="FOLDER")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--picture", default="digits.png")
options = parser.parse_args()
am.manual_seed(0)

if options.mnist:
    (train, _), (test, _) = am.data.mnist(options.mnist)
    train, test = train.astype("float32") / 255, test.astype("float32") / 255
else:
    (train, _), (test, _) = am.data.digits(test_fraction=0.2)

numbers = np.random.default_rng(0)
noisy_train, noisy_test = (
    np.clip(images + numbers.normal(0, 0.4, images.shape), 0, 1).astype("float32")
    for images in (train, test)
)

image = am.Input(train.shape[1:])
x = F.max_pool2d(F.relu(nn.Conv2d(1, 32, 3, padding=1)(image)), 2)
x = F.max_pool2d(F.relu(nn.Conv2d(32, 32, 3, padding=1)(x)), 2)
x = nn.Upsample(scale_factor=2)(F.relu(nn.Conv2d(32, 32, 3, padding=1)(x)))
x = nn.Upsample(scale_factor=2)(F.relu(nn.Conv2d(32, 32, 3, padding=1)(x)))
autoencoder = am.Model(image, nn.Conv2d(32, 1, 3, padding=1)(x))  # logits of the pixels
autoencoder.compile(optimizer="adam", loss="binary_cross_entropy_with_logits")
autoencoder.summary()

fitting = {"epochs": options.epochs, "batch_size": 32}
autoencoder.fit(train, train, validation_data=(test, test), **fitting)
autoencoder.fit(noisy_train, train, validation_data=(noisy_test, test), **fitting)

cleaned = am.sigmoid(autoencoder.predict(noisy_test)).numpy()
rows = [np.concatenate(list(images[:10, 0]), 1) for images in (test, noisy_test, cleaned)]
Image.fromarray((255 * np.concatenate(rows)).astype("uint8")).save(options.picture)
before, after = (float(((images - test) ** 2).mean()) for images in (noisy_test, cleaned))
print(f"mean square error: {before:.4f} with noise, {after:.4f} without; see {options.picture}")
