"""What is found in every network of the zoo: all that can go, a reason for all that can't, and the right sizes."""

from __future__ import annotations

import pytest

from pipeline.pruning.coupling import find_structure
from pipeline.pruning.layers import find_layers
from pipeline.pruning.tracer import NotTraceable
from tests.zoo import REFUSED, ZOO
from tests.zoo.entry import available
from tests.zoo.proof import counted, prepared, silent

NAMES = [pytest.param(name, marks=pytest.mark.slow if ZOO[name].large else ()) for name in ZOO]


@pytest.mark.parametrize("name", NAMES)
def test_structure_of_a_network_is_complete_and_its_size_is_the_librarys(name: str) -> None:
    entry = available(ZOO[name])
    network = prepared(entry)
    structure = find_structure(network, entry.samples())
    left = {one.module: one.reason for one in structure.left}
    made = {axis.tensor.rpartition(".")[0] for group in structure.groups for axis in group.axes if axis.makes}
    assert {group.kind for group in structure.groups} == entry.kinds
    assert silent(structure, network) == []
    assert all(left.values())
    for module, word in entry.left.items():
        assert word in left[module]
    assert set(left) - set(entry.left) - made == set(), "left alone, and the zoo knows no reason for it"
    assert structure.size({}) == counted(network, entry)


@pytest.mark.parametrize("name", NAMES)
def test_layers_of_a_network_are_those_that_add_to_their_input(name: str) -> None:
    entry = available(ZOO[name])
    found, _ = find_layers(prepared(entry), entry.samples())
    assert len(found) == entry.layers


@pytest.mark.parametrize("name", REFUSED)
def test_structure_of_what_depends_on_the_data_is_refused_with_the_line_or_the_module(name: str) -> None:
    entry = REFUSED[name]
    with pytest.raises(NotTraceable) as caught:
        find_structure(prepared(entry), entry.samples())
    assert caught.value.where and caught.value.remedy
    if name != "picks":
        assert "refused.py, line" in caught.value.where
