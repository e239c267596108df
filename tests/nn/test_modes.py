"""Keras's words for modes: `training=`, and `trainable`."""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

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


class Waiting(nn.Module):
    """Says in which mode it is, before and after another thread has had its call."""

    def __init__(self, other=None):
        super().__init__()
        self.other, self.seen = other, []

    def forward(self, x):
        self.seen.append(self.training)
        if self.other is not None:
            threads = [threading.Thread(target=self.other, args=(self, x))]
            self.other = None
            threads[0].start()
            threads[0].join(60)
        self.seen.append(self.training)
        return x


@pytest.mark.parametrize("mode", [False, True])
def test_a_call_in_another_mode_is_of_its_thread(mode):
    """Another thread calls the module, in its own mode and in the third way, in the middle."""

    def meanwhile(inner, x):
        net(x)
        net(x, training=not mode)
        net.train(not mode)

    inner = Waiting(meanwhile)
    net = nn.Sequential(inner, nn.Linear(2, 2)).train(not mode)
    net(am.ones(1, 2), training=mode)
    assert inner.seen == [mode, *[not mode] * 4, mode]
    assert [module.training for module in net.modules()] == [not mode] * 3


def test_many_threads_in_modes_of_their_own():
    net, x = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval(), am.ones(64, 4)
    wanted = net(x).numpy()
    found, switch = {True: [], False: []}, sys.getswitchinterval()

    def work(mode):
        for _ in range(20):
            found[mode].append(net(x, training=True) if mode else net(x))

    threads = [threading.Thread(target=work, args=(mode,)) for mode in (True, False) * 2]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(switch)
    assert [len(each) for each in found.values()] == [40, 40]
    assert all(np.array_equal(each.numpy(), wanted) for each in found[False])
    assert all((each == 0).any() for each in found[True])


def test_what_a_forward_says_of_modes_holds_for_the_call():
    class Says(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.late, self.seen = nn.Dropout(0.5), None, []

        def forward(self, x):
            self.drop.eval()
            self.late = nn.Dropout(0.5)  # no part of the call yet
            self.late.eval()
            self.seen.append((self.training, self.drop.training))
            self.training = False
            self.seen.append((self.training, self.drop.training))
            return self.drop(x)

    net = Says().train()
    net(am.ones(2), training=True)
    assert net.seen == [(True, False), (False, False)]
    assert net.training
    assert net.drop.training
    assert not net.late.training
    net(am.ones(2))  # in no mode of its own: as in PyTorch, it stays
    assert not net.training
    assert not net.drop.training


def test_calls_in_modes_inside_of_each_other():
    seen = []

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Dropout(0.5)
            self.inner.register_forward_hook(lambda module, *_: seen.append(module.training))

        def forward(self, x):
            return self.inner(self.inner(self.inner(x), training=True))

    Outer()(am.ones(2), training=False)
    assert seen == [False, True, False]


def test_copies_and_pickles_have_the_modules_own_mode():
    class Copies(nn.Module):
        def forward(self, x):
            self.__dict__["copies"] = [copy.deepcopy(self), pickle.loads(pickle.dumps(Plain()))]
            return x

    net = Copies().train()
    net(am.ones(1), training=False)
    assert [each.training for each in net.copies] == [True, True]
    assert not copy.deepcopy(Plain().eval()).training
    assert not pickle.loads(pickle.dumps(Plain().eval())).training


class Plain(nn.Module):
    def forward(self, x):
        return x


def test_a_recording_depends_on_the_modes_that_it_reads():
    recorded = []

    @am.jit
    def step(x):
        recorded.append(net.training)
        return net(x)

    class Reads(nn.Module):
        def forward(self, x):
            return x if self.training else x + 1

    class Calls(nn.Module):
        def forward(self, x):
            return step(x)

    net, outer, x = Reads(), Calls(), am.zeros(2)
    outer.net = net
    for _ in range(2):
        for mode in (True, False):
            net.train(mode)
            assert step(x).tolist() == [1 - mode] * 2
            for asked in (True, False):  # the mode comes from around the recording
                assert outer(x, training=asked).tolist() == [1 - asked] * 2
    assert len(recorded) == 2  # whoever says the mode
    causes = [each.cause for each in am.compilations() if "step" in each.function][-2:]
    assert any("Reads.training is False and was True" in cause for cause in causes)


def test_a_mode_that_is_not_read_is_nothing_to_a_recording():
    recorded, net = [], nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    @am.jit
    def step(x):
        recorded.append(x.shape)
        return net(x)

    for mode in (True, False, True):
        net.train(mode)
        step(am.ones(1, 2))
    assert len(recorded) == 1


def test_values_of_modules_keep_the_mode_of_the_call():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            value = am.tree.map(lambda leaf: leaf, self.net)
            return am.tensor([value.training, value[1].training, self.net.training])

    outer = Outer()
    assert outer(am.ones(1), training=False).tolist() == [False] * 3
    assert outer(am.ones(1)).tolist() == [True] * 3


def test_train_asks_each_module_as_in_pytorch():
    def built(nn):
        class Frozen(nn.Sequential):
            def train(self, mode=True):
                return super().train(False)

        class Half(nn.Sequential):
            def train(self, mode=True):
                super().train(mode)
                self[1].eval()
                return self

        return nn.Sequential(nn.Linear(2, 2), Frozen(nn.Dropout(0.5), nn.Tanh()),
                             Half(nn.Tanh(), nn.Dropout(0.5)))  # fmt: skip

    ours, theirs = built(nn), built(torch.nn)
    for _ in range(2):
        for mode in (True, False):
            found = [m.training for m in ours.train(mode).modules()]
            assert found == [m.training for m in theirs.train(mode).modules()]
    ours.eval()
    wanted = [m.training for m in theirs.train().modules()]
    seen = []
    for module in ours.modules():
        module.register_forward_hook(lambda *_: seen or seen.extend(
            m.training for m in ours.modules()))  # fmt: skip
    ours(am.ones(1, 2), training=True)
    assert seen == wanted


def test_a_function_that_reads_no_mode_is_recorded_once():
    recorded = []

    @am.jit
    def doubled(x):
        recorded.append(x.shape)
        return x * 2

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return doubled(x)

    for net in [Calls() for _ in range(3)]:
        for mode in (True, False):
            net(am.ones(2), training=mode)
            net.train(mode)(am.ones(2))
    assert len(recorded) == 1


def test_what_a_recorded_function_says_of_modes_holds_inside():
    drop = nn.Dropout(0.5)

    @am.jit
    def still(x):
        drop.eval()
        return drop(x)

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.seen = drop, []

        def forward(self, x):
            x = still(x)
            self.seen.append(drop.training)
            return x

    net = Calls()
    for _ in range(3):
        assert net(am.ones(4), training=True).tolist() == [1] * 4
    assert net.seen == [True] * 3
    assert drop.training


def test_the_modes_in_the_branches_of_a_recorded_function():
    drop = nn.Dropout(0.5).eval()

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = drop

        def forward(self, x):
            return am.cond(x.sum() > 0, lambda x: self.drop(x), lambda x: -x, x)

    net = Calls()
    step = am.jit(lambda x, mode: net(x, training=mode) + drop(x))
    for _ in range(2):
        for mode in (True, False):
            found = step(am.ones(64), mode).numpy()
            assert set(found) == ({1, 3} if mode else {2})
            assert not drop.training


def test_threads_of_a_forward_are_told_the_mode():
    """As docs/training.md says it."""

    class Parallel(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.BatchNorm1d(4), nn.Dropout(0.5)])

        def forward(self, x):
            mode = self.training
            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda part: part(x, training=mode), self.parts)
            return first + second

    model = am.Model(Parallel())
    model.compile("sgd", "mse", jit=False)
    x = np.ones((3, 4), np.float32)
    np.testing.assert_allclose(model.predict(x), 2 * x, rtol=1e-4)
    assert model.network.parts[0].num_batches_tracked == 0
    model.eval().fit(x, x, verbose=0)
    assert model.network.parts[0].num_batches_tracked == 1
