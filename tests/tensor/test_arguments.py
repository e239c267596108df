"""Arguments of kinds that no function takes: errors of our own, at the user's line."""

import pytest

import ambos as am
from ambos.core.errors import AmbosError

X, M = am.arange(4.0), am.ones(3, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: am.kthvalue(X, 1.5), r"kthvalue: k is 1\.5; need an integer"),
        (lambda: am.kthvalue(X, True), "kthvalue: k is True; need an integer"),
        (lambda: am.bincount(am.tensor([1]), minlength=None), "bincount: minlength is None"),
        (lambda: am.chunk(X, None), "chunk: chunks is None; need an integer"),
        (lambda: am.combinations(X, "a"), "combinations: r is 'a'; need an integer"),
        (lambda: am.combinations(X, 1 << 40, True), "combinations: r is"),
        (lambda: am.diag(M, 1.5), r"offset is 1\.5; need an integer"),
        (lambda: am.diagonal(M, None), "diagonal: offset is None; need an integer"),
        (lambda: am.diag_embed(X, offset=()), r"diag_embed: offset is \(\); need an integer"),
        (lambda: am.diff(X, 0.5), r"diff: n is 0\.5; need an integer"),
        (lambda: am.gradient(X, axis=0.5), r"gradient: axis is 0\.5; need an integer"),
        (lambda: am.gradient(X, spacing=object()), "gradient: spacing is <object"),
        (lambda: am.histc(X, min=None), "histc: min is None; need a real number"),
        (lambda: am.histogram(X, None), "histogram: bins is|need"),
        (lambda: am.histogramdd(M, 1.5), r"histogram: bins is 1\.5"),
        (lambda: am.index_put(X, None, X), "index_put: indices are None; need a tuple"),
        (lambda: am.isclose(X, X, rtol="a"), "isclose: rtol is 'a'; need a real number"),
        (lambda: am.linspace("a", 1), "linspace: an end is 'a'; need a real number"),
        (lambda: am.linspace(0, 1, 10**30), "linspace: 10{30} steps; need"),
        (lambda: am.logspace(0, 1, base=None), "logspace: an argument is None; need a real"),
        (lambda: am.pad(X, None), "pad: padding is None; need two counts"),
        (lambda: am.pad(X, "ab"), "pad: padding is .*; need pairs of counts"),
        (lambda: am.pad(X, (1, 1), value="a"), "scalar: 'a' as float32; need a number"),
        (lambda: am.pad(X, (1, 1), value=[1]), r"scalar: \[1\] as float32; need a number"),
        (lambda: am.empty_strided((2,), None), "empty_strided: got the shape"),
        (lambda: X.clone().geometric_(None), "geometric_: p is None; need a real number"),
    ],
)
def test_arguments_of_other_kinds_are_answered_in_words(call, message):
    with pytest.raises(AmbosError, match=message):
        call()


def test_integers_may_come_as_tensors():
    two = am.tensor(2)
    assert am.kthvalue(X, two).values.item() == 1
    assert am.diag_embed(am.ones(1), two).shape == (3, 3)
    assert am.bincount(am.tensor([0]), minlength=two).tolist() == [1, 0]
