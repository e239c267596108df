"""Keras's words for modes: `training=`, and `trainable`."""

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError

X = np.random.RandomState(0).rand(40, 1, 4, 4).astype(np.float32)
Y = np.arange(40) % 3


def base():
    am.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())


def test_a_call_in_another_mode():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    net[0].eval()
    x = am.ones(3, 4)
    modes = [module.training for module in net.modules()]
    assert (net(x, training=False) == net[0](x)).all()
    assert [module.training for module in net.modules()] == modes == [True, False, True]
    net.eval()
    assert (net(x, training=True) == 0).any()
    assert not any(module.training for module in net.modules())
    model = am.Model(net)  # another view of the same layers
    assert (model(x, training=True) == 0).any()
    assert not model.training
    assert not net.training
    with pytest.raises(ArgumentError, match="training is 'no'"):
        net(x, training="no")
    with pytest.raises(am.errors.ShapeError):
        net(am.ones(3, 5), training=True)
    assert not any(module.training for module in net.modules())


def test_a_forward_with_a_training_of_its_own():
    class Own(nn.Module):
        def forward(self, x, training=False):
            return x + 1 if training else x

    assert Own()(am.zeros(2), training=True).tolist() == [1, 1]


def test_a_call_in_another_mode_is_recorded_once():
    net, recorded = base().train(), []

    @am.jit
    def step(x):
        recorded.append(x.shape)
        return net(x, training=False) + net(x).sum()

    mean = net[1].running_mean.numpy()
    for _ in range(3):
        step(am.tensor(X))
    assert len(recorded) == 1
    assert (net[1].running_mean.numpy() != mean).all()  # by the second call in each


def test_what_is_frozen_stays_and_is_trained_again():
    net = base()
    net.trainable = False
    assert not net.trainable
    assert not net[0].trainable
    image = am.Input((1, 4, 4))
    model = am.Model(image, nn.Linear(16, 3)(net(image, training=False)))

    def states():
        return [tensor.numpy().copy() for tensor in (*net.parameters(), *net.buffers())]

    def trained():
        before, head = states(), model.get_layer("linear").weight.numpy().copy()
        model.compile("adam", "cross_entropy")
        model.fit(X, Y, epochs=2, verbose=0)
        assert (model.get_layer("linear").weight.numpy() != head).any()
        return [bool((a != b).any()) for a, b in zip(before, states(), strict=True)]

    assert trained() == [False] * 7
    net.trainable = True
    assert trained() == [True] * 4 + [False] * 3  # parameters, but not the running statistics
    net[0].trainable = False
    assert net.trainable  # as it was set, which is Keras's rule
    assert trained()[:4] == [False, False, True, True]
    with pytest.raises(ArgumentError, match="trainable is 1"):
        net.trainable = 1


def test_trainable_says_what_was_set_and_what_is():
    class Own(nn.Module):  # as people write it, before there are layers
        def __init__(self, trainable):
            super().__init__()
            self.trainable = trainable
            self.layer = nn.Linear(2, 2)

    assert not Own(False).trainable
    assert Own(False).layer.trainable
    net = Own(False).requires_grad_(True)
    assert net.trainable
    assert not net.requires_grad_(False).trainable
