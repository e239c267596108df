"""Tickets of a help desk, from title, text and tags: how urgent they are, and for whom.

python examples/keras/multi_input.py

The tickets are made up: each department has twenty words of its own, and a tag or a word of the
text makes a ticket urgent.
"""

import numpy as np

import ambos as am
from ambos import nn, optim

am.manual_seed(0)
num_tags, num_words, num_departments, urgent = 12, 1000, 4, 999

numbers = np.random.default_rng(0)
department = numbers.integers(num_departments, size=2560)


def words(length):
    """Words of any kind, every fourth one of the department."""
    own = 20 * department[:, None] + numbers.integers(20, size=(len(department), length))
    others = numbers.integers(100, num_words, own.shape)
    return np.where(numbers.random(own.shape) < 0.25, own, others)


title, body = words(6), words(20)
body[::3, -1] = urgent
tags = numbers.integers(2, size=(len(department), num_tags)).astype("float32")
priority = ((body[:, -1] == urgent) | (tags[:, :2].sum(1) == 2)).astype("float32")[:, None]

title_input = am.Input((6,), dtype="int64", name="title")
body_input = am.Input((20,), dtype="int64", name="body")
tags_input = am.Input((num_tags,), name="tags")
embedding = nn.Sequential(nn.Embedding(num_words, 32), nn.Dropout(0.4))
_, (title_features, _) = nn.LSTM(32, 32, batch_first=True)(embedding(title_input))
_, (body_features, _) = nn.LSTM(32, 32, batch_first=True)(embedding(body_input))
x = am.concatenate([title_features[-1], body_features[-1], tags_input], 1)
width = 64 + num_tags
outputs = {"priority": nn.Linear(width, 1)(x), "department": nn.Linear(width, num_departments)(x)}
model = am.Model([title_input, body_input, tags_input], outputs)
model.summary()

model.compile(
    optimizer=optim.RMSprop(lr=3e-3),
    loss={"priority": "binary_cross_entropy_with_logits", "department": "cross_entropy"},
    loss_weights={"priority": 1.0, "department": 0.5},
    metrics={"priority": ["accuracy"], "department": ["accuracy"]},
)
model.fit(
    {"title": title, "body": body, "tags": tags},
    {"priority": priority, "department": department},
    epochs=5,
    batch_size=32,
    validation_split=0.2,
)
