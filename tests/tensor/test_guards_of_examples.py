"""What an example does not take is not refused for it: a guard holds under vmap as in a loop."""

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import IndexingError

TABLE = np.arange(5, dtype=np.float32)


def test_a_branch_that_guards_an_index():
    table, places = am.tensor(TABLE), am.tensor([1, 9, 4])

    def look_up(place):
        return am.cond(place < 5, lambda: table[place] * 2, lambda: am.tensor(-1.0))

    alone = [look_up(place).item() for place in places]
    assert alone == [2.0, -1.0, 8.0]
    assert am.vmap(look_up)(places).tolist() == alone
    assert am.jit(am.vmap(look_up))(places).tolist() == alone


def test_an_index_that_is_taken_and_wrong_is_refused():
    table = am.tensor(TABLE)
    guard = am.vmap(lambda i: am.cond(i < 7, lambda: table[i], lambda: am.tensor(-1.0)))
    with pytest.raises(IndexingError, match="out of range"):
        guard(am.tensor([1, 6, 9])).numpy()
    assert guard(am.tensor([1, 2, 9])).tolist() == [1.0, 2.0, -1.0]


def test_gradients_of_a_guarded_index():
    places = am.tensor([1, 9, 4, 1])

    def total(table):
        found = am.vmap(lambda i: am.cond(i < 5, lambda: table[i] ** 2, lambda: table.sum() * 0.0))(
            places
        )
        return found.sum()

    assert am.grad(total)(am.tensor(TABLE)).tolist() == [0.0, 4.0, 0.0, 0.0, 8.0]


def test_a_loop_that_ends_before_the_table_does():
    table = am.tensor(TABLE)

    def total(start):
        """The sum from `start` to the end."""
        return am.while_loop(
            lambda state: state[0] < 5,
            lambda state: (state[0] + 1, state[1] + table[state[0]]),
            (start, am.tensor(0.0)),
        )[1]

    starts = am.tensor([3, 0, 5, 4])
    alone = [total(start).item() for start in starts]
    assert alone == [7.0, 10.0, 0.0, 4.0]
    assert am.vmap(total)(starts).tolist() == alone


def test_a_branch_that_guards_a_matrix():
    good, bad = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 2.0], [2.0, 4.0]])
    matrices = am.tensor(np.stack([good, bad, 2 * good]))

    def inverse(a):
        return am.cond(am.linalg.det(a) > 0.5, lambda: am.linalg.inv(a), lambda: a * 0)

    alone = [inverse(a).tolist() for a in matrices]
    assert am.vmap(inverse)(matrices).tolist() == alone
    np.testing.assert_allclose(alone[0], np.linalg.inv(good), rtol=1e-12)
