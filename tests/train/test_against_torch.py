"""Training as a whole: the same losses as PyTorch at every step, and both styles of a newcomer."""

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.optim import SGD
from ambos.train.demo import network


def torch_twin():
    t = torch.nn
    return t.Sequential(
        t.Conv2d(1, 32, 3, padding=1), t.BatchNorm2d(32), t.ReLU(),
        t.Conv2d(32, 64, 3, padding=1), t.BatchNorm2d(64), t.ReLU(),
        t.MaxPool2d(2), t.Flatten(), t.Linear(1024, 10),
    )  # fmt: skip


# At ten times these rates training is chaotic: PyTorch with and without oneDNN then differ from
# each other by 7% (Adam) and 70% (SGD) within the 200 steps.
@pytest.mark.parametrize(("name", "lr"), [("Adam", 2e-4), ("SGD", 0.01)])
def test_two_hundred_steps_of_the_demo_equal_pytorchs(name, lr):
    (x, y), _ = am.data.digits(test_fraction=0.2, seed=0)
    torch.manual_seed(0)
    theirs, ours = torch_twin(), network()
    ours.load_state_dict(theirs.state_dict())
    rule = getattr(optim, name)(ours.parameters(), lr=lr)
    twin = getattr(torch.optim, name)(theirs.parameters(), lr=lr)
    stream, found, wanted = np.random.RandomState(0), [], []
    for _ in range(200):
        rows = stream.randint(0, len(x), 32)
        loss = F.cross_entropy(ours(am.tensor(x[rows])), am.tensor(y[rows]))
        rule.zero_grad()
        loss.backward()
        rule.step()
        found.append(loss.item())
        other = torch.nn.functional.cross_entropy(
            theirs(torch.tensor(x[rows])), torch.tensor(y[rows])
        )
        twin.zero_grad()
        other.backward()
        twin.step()
        wanted.append(other.item())
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert found[-1] < 0.5 * found[0]


class Net(nn.Module):
    def __init__(self, features=12544):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(features, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv(x)))
        return self.fc(x.flatten(1))


def images(count=12):
    stream = np.random.RandomState(0)
    return stream.randn(count, 3, 32, 32).astype(np.float32), stream.randint(0, 10, count)


def test_pytorch_style():
    x, y = images()
    net, t = Net(), torch.nn
    twin = t.Sequential(
        t.Conv2d(3, 64, 5), t.ReLU(), t.MaxPool2d(2), t.Flatten(), t.Linear(12544, 10)
    )
    values = [torch.tensor(v.numpy()) for v in net.state_dict().values()]
    twin.load_state_dict(dict(zip(twin.state_dict(), values, strict=True)))
    optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    theirs = torch.optim.SGD(twin.parameters(), lr=0.001, momentum=0.9)
    losses, wanted = [], []
    for _ in range(3):
        for start in range(0, 12, 5):  # the last batch is short
            inputs, labels = am.tensor(x[start : start + 5]), am.tensor(y[start : start + 5])
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            theirs.zero_grad()
            outputs = twin(torch.tensor(x[start : start + 5]))
            other = t.functional.cross_entropy(outputs, torch.tensor(y[start : start + 5]))
            other.backward()
            theirs.step()
            wanted.append(other.item())
    np.testing.assert_allclose(losses, wanted, rtol=1e-4)


def test_a_linear_that_does_not_fit_is_named_with_the_value_to_use():
    with pytest.raises(ValueError, match="in_features") as found:
        Net(1024)(am.tensor(images()[0]))
    assert str(found.value).startswith(
        "Linear 'fc': got 12544 features; the layer has in_features=1024; "
        "use nn.Linear(12544, 10) or nn.LazyLinear(10) [test_against_torch.py:"
    )


def test_keras_style():
    x, y = images()
    model = am.Sequential([
        nn.LazyConv2d(64, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(10),
    ])  # fmt: skip
    model.compile(optimizer=SGD(lr=0.001), loss=nn.CrossEntropyLoss(), metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, batch_size=5, verbose=0)
    assert len(history.history["accuracy"]) == 2
    batches = [(x[i : i + 5], y[i : i + 5]) for i in range(0, 12, 5)]
    again = model.fit(batches, epochs=1, verbose=0)
    assert again.history["loss"][0] < history.history["loss"][0]
    assert model[-1].in_features == 12544
