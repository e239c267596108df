"""Who holds what: objects of a class are found wherever they are held."""

from __future__ import annotations

import ambos as am
from ambos import nn
from ambos.tensor.counting import instances
from ambos.tensor.handle import Tensor


def test_instances_finds_tensors_and_what_is_derived_from_them_wherever_they_are():
    class Own(nn.Parameter):
        pass

    class Slotted:
        __slots__ = ("field",)

    holder = Slotted()
    holder.field = am.ones(2)
    made = [am.ones(3), nn.Parameter(am.ones(2)), Own(am.ones(1)), {"deep": [am.ones(4)]}]
    expected = {id(t) for t in (*made[:3], made[3]["deep"][0], holder.field)}
    found = instances(Tensor)
    assert expected <= set(map(id, found))
    assert all(isinstance(tensor, Tensor) for tensor in found)
    assert len(set(map(id, found))) == len(found)
