"""A small convolutional network reads handwritten digits.

python examples/keras/image_classification.py [--mnist FOLDER] [--epochs 20]

Without MNIST (which is downloaded into the folder unless it is there) the digits are the 1797 of
8x8 pixels inside ambos.
"""

import argparse

import ambos as am
from ambos import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--mnist", metavar="FOLDER")
parser.add_argument("--epochs", type=int, default=20)
options = parser.parse_args()
am.manual_seed(0)

if options.mnist:
    (x_train, y_train), (x_test, y_test) = am.data.mnist(options.mnist)
    x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255
else:
    (x_train, y_train), (x_test, y_test) = am.data.digits(test_fraction=0.2)

model = am.Sequential(
    [
        nn.LazyConv2d(32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.LazyConv2d(64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.LazyLinear(10),  # logits: the loss has the softmax in it
    ]
)
model.summary(x_train.shape[1:])

model.compile(loss="cross_entropy", optimizer="adam", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=128, epochs=options.epochs, validation_split=0.1)

score = model.evaluate(x_test, y_test)
print(f"Test loss: {score['loss']:.4f}, accuracy: {score['accuracy']:.2%}")
