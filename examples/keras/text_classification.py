"""A convolutional network tells from raw texts what they are about.

python examples/keras/text_classification.py [--folder aclImdb] [--epochs 10]

`--folder` has texts as `train/CLASS/NAME.txt` and `test/CLASS/NAME.txt`, as the reviews of IMDB
come (without `train/unsup`). Without it: paragraphs of Python's standard library, which are to be
told apart by the package they are from; those to test with are from modules that were not seen.
"""

import argparse
import sysconfig
import tempfile
from pathlib import Path

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--folder")
parser.add_argument("--epochs", type=int, default=10)
options = parser.parse_args()
am.manual_seed(0)


def write_paragraphs(folder):
    """Files of some paragraphs each; every fourth module is one to test with."""
    for package in ("asyncio", "email", "unittest"):
        modules = sorted(Path(sysconfig.get_path("stdlib"), package).glob("*.py"))
        for number, module in enumerate(modules):
            place = Path(folder, "test" if number % 4 == 3 else "train", package)
            place.mkdir(parents=True, exist_ok=True)
            paragraphs = module.read_text("utf-8").split("\n\n")
            for start in range(0, len(paragraphs), 2):
                text = "\n\n".join(paragraphs[start : start + 2])
                (place / f"{module.stem}_{start}.txt").write_text(text, "utf-8")


if not options.folder:
    options.folder = tempfile.mkdtemp()
    write_paragraphs(options.folder)
large = len(list(Path(options.folder, "train").glob("*/*"))) > 5000

raw_train, raw_validation = am.data.text_dataset_from_directory(
    f"{options.folder}/train", validation_split=0.2, subset="both", seed=1337
)
raw_test = am.data.text_dataset_from_directory(f"{options.folder}/test", shuffle=False)
classes = raw_train.class_names
for texts, labels in raw_train.take(1):
    print(f"{classes[labels[0]]}: {texts[0][:60]!r}")

max_features, width, length, rate = (20_000, 128, 500, 1e-3) if large else (4_000, 32, 64, 3e-3)
vectorize = am.data.TextVectorization(
    standardize=lambda text: text.lower().replace("<br />", " "),
    split=lambda text: "".join(c if c.isalnum() else " " for c in text).split(),
    max_tokens=max_features,
    output_sequence_length=length,
)
vectorize.adapt(raw_train.map(lambda text, label: text))
train, validation, test = (
    raw.map(lambda text, label: (vectorize(text), label)).cache()
    for raw in (raw_train, raw_validation, raw_test)
)

inputs = am.Input((length,), dtype="int64")
x = nn.Dropout(0.5)(nn.Embedding(max_features, width)(inputs)).transpose(1, 2)
x = F.relu(nn.Conv1d(width, width, 7, stride=3)(x))
x = F.relu(nn.Conv1d(width, width, 7, stride=3)(x)).amax(2)
x = nn.Dropout(0.5)(F.relu(nn.Linear(width, width)(x)))
model = am.Model(inputs, nn.Linear(width, len(classes))(x))
model.compile(loss="cross_entropy", optimizer=optim.Adam(lr=rate), metrics=["accuracy"])
model.fit(train, validation_data=validation, epochs=options.epochs)

score = model.evaluate(test)
print(f"test accuracy {score['accuracy']:.2%}")
for text in ("await the future of the event loop", "the header of a multipart message"):
    print(f"{text!r}: {classes[model.predict(vectorize([text])).argmax()]}")
