"""What was learnt on some classes serves others: frozen features first, then fine-tuning.

python examples/keras/transfer_learning.py [--images FOLDER --weights resnet18.pth] [--epochs 20]

`--images` has `CLASS/NAME.jpg` and `--weights` is torchvision's file for ResNet-18. Without them a
small network learns the digits 0 to 4, and then tells 5 to 9 apart after 10 examples of each.
"""

import argparse

import numpy as np

import ambos as am
from ambos import nn, optim

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--images", metavar="FOLDER")
parser.add_argument("--weights", metavar="FILE")
parser.add_argument("--epochs", type=int, default=20)
options = parser.parse_args()
am.manual_seed(0)
settings = {"optimizer": "adam", "loss": "cross_entropy", "metrics": ["accuracy"]}

if options.images:
    train, validation = am.data.image_dataset_from_directory(
        options.images, validation_split=0.2, subset="both", seed=0, image_size=(150, 150)
    )
    shape, width, classes = (3, 150, 150), 512, len(train.class_names)
    base = am.models.resnet18()
    am.load_torch(base, options.weights)
    base.fc = nn.Identity()
    scale = nn.Rescaling(1 / 127.5, offset=-1)
else:
    images, labels = am.data.digits()
    is_old, shape, width, classes = labels < 5, (1, 8, 8), 256, 5
    base = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Flatten(),
    )
    first = am.Sequential([base, nn.Linear(width, 5)])
    first.compile(**settings)
    first.fit(images[is_old], labels[is_old], epochs=10)
    new = np.concatenate([np.where(labels == digit)[0][:10] for digit in range(5, 10)])
    rest = np.setdiff1d(np.where(~is_old)[0], new)
    train, validation = (
        am.data.Dataset.from_tensor_slices((images[rows], labels[rows] - 5))
        .shuffle(seed=0)
        .batch(16)
        for rows in (new, rest)
    )
    scale = nn.Identity()

augment = nn.Sequential(nn.RandomRotation(0.03), scale)
if options.images:
    augment.insert(0, nn.RandomFlip("horizontal"))

base.trainable = False
inputs = am.Input(shape)
features = base(augment(inputs), training=False)  # running statistics stay as they are
model = am.Model(inputs, nn.Linear(width, classes)(nn.Dropout(0.2)(features)))
model.compile(**settings | {"optimizer": optim.Adam(lr=1e-2)})
model.summary()
model.fit(train, epochs=options.epochs, validation_data=validation)
frozen = model.evaluate(validation)["accuracy"]

base.trainable = True
model.compile(**settings | {"optimizer": optim.Adam(lr=1e-5 if options.images else 1e-3)})
model.fit(train, epochs=options.epochs // 2, validation_data=validation)
tuned = model.evaluate(validation)["accuracy"]
print(f"accuracy {frozen:.2%} with frozen features, {tuned:.2%} after fine-tuning")
