"""Two threads that record, compute and train at once leave each other alone."""

import threading
import time

import numpy as np

import ambos as am
import ambos.nn.functional as F
from ambos.tensor import realize

X = np.random.RandomState(0).randn(2, 4).astype(np.float32)


def together(*acts):
    """What each gives, done by threads at the same time; the first error comes out."""
    found, errors = [None] * len(acts), []

    def run(number, act):
        try:
            found[number] = act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found


def test_what_is_planned_stays_as_it_is_meanwhile(monkeypatch):
    """A plan is kept for graphs of one form: nothing may get a value while it is made."""
    data, planning, seen = am.tensor(np.ones((3, 5, 2), np.float32)), threading.Event(), []
    (data * 3).numpy()  # what is planned already takes no time
    shared, prepare = data * 3, realize.prepare

    def slow(*args):
        if not planning.is_set():
            planning.set()
            time.sleep(0.1)
            seen.append(shared._node.value)
        return prepare(*args)

    monkeypatch.setattr(realize, "prepare", slow)

    def other():
        assert planning.wait(20)
        return shared.numpy().sum()

    (found, total) = together(lambda: (shared.exp() - shared).sum((0, 2)).tolist(), other)
    np.testing.assert_allclose(found, [6 * (np.exp(3) - 3)] * 5, rtol=1e-5)
    assert (total, seen) == (90.0, [None])


def test_a_thread_computes_while_another_records():
    inside, done = threading.Event(), threading.Event()
    weight = am.tensor([1.0, 2.0], requires_grad=True)

    @am.jit
    def recorded(x):
        with am.no_grad(), am.autocast(am.bfloat16):
            y = x @ x.T
            inside.set()
            assert done.wait(20)
            assert not am.is_grad_enabled()
            return y, weight * 2

    def other():
        assert inside.wait(20)
        try:
            assert am.is_grad_enabled()
            product = (weight[None] @ weight[:, None]).sum()
            assert product.dtype is am.float32
            product.backward()
            step = am.jit(lambda x: F.relu(x).sum())
            return weight.grad.tolist(), product.item(), step(am.tensor([1.0, -1.0])).item()
        finally:
            done.set()

    (narrow, doubled), found = together(lambda: recorded(am.tensor(X)), other)
    assert (narrow.dtype, doubled.requires_grad) == (am.bfloat16, False)
    assert doubled.tolist() == [2.0, 4.0]
    assert found == ([2.0, 4.0], 5.0, 1.0)


def test_what_a_thread_has_not_computed_yet_stays_its_own():
    """Its owner may be about to bind it to something else."""
    mine = am.tensor([1.0, 2.0]) * 3
    node = mine._node
    (theirs,) = together(lambda: (mine + 1).tolist())
    assert theirs == [4.0, 7.0]
    assert mine._node is node
    assert mine.tolist() == [3.0, 6.0]
