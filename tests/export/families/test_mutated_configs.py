"""Configs whose values are others: each is refused in a sentence, or makes a network and a spec, without its memory.

A short form runs by default, all of it with MASKRT_LONG_TESTS=1. The changes are the same in every run.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from maskrt.errors import MaskrtError
from maskrt.export.families.config import Section
from maskrt.export.families.detectron2 import network as detectron2_network
from maskrt.export.families.detectron2 import spec as detectron2_spec
from maskrt.export.families.detectron2 import support as detectron2_support
from maskrt.export.families.mmdet import network as mmdet_network
from maskrt.export.families.mmdet import spec as mmdet_spec
from maskrt.export.families.mmdet import support as mmdet_support

from .detectron2 import configs as of_detectron2
from .mmdet import configs as of_mmdet

NUMBER = 1000 if os.environ.get("MASKRT_LONG_TESTS") == "1" else 60

STRANGE: list[Any] = [
    *[None, True, False, 0, -1, 1, 2, 3, 7, 10**9, 10**400, -5.5, 0.0, 1e308, float("nan"), float("inf")],
    *["", "x", "res5", "GN", "SyncBN", "ResNeXt", {}, {"type": "x"}, {"type": "GN", "num_groups": 7}],
    *[[], [[]], [1], [0], [-1], [1, 2, 3, 4], [[1], [2]], ["res2"], ["res5", "res2"], ["p2", "p2"], [None], [{}]],
    *[[32] * 200, [[32, 64], [1]]],
]


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from _places(inner, (*place, key))


def _mutate(values: dict[str, Any], chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        *groups, key = chance.choice(list(_places(values)))
        group: Any = values
        for each in groups:
            group = group[each]
        what = chance.random()
        if what < 0.15 and isinstance(group, dict):
            del group[key]
        else:
            group["strange" if what < 0.25 and isinstance(group, dict) else key] = copy.deepcopy(chance.choice(STRANGE))


def _detectron2(chance: random.Random) -> dict[str, Any]:
    said = chance.choice([of_detectron2.FPN, of_detectron2.DC5, of_detectron2.C4])
    return dict(of_detectron2.make_config(said).values)


def _make_detectron2(config: Section) -> None:
    detectron2_support.check_supported(config)
    with torch.device("meta"):
        network = detectron2_network.build_network(config)
    detectron2_spec.model_spec(config, network.backbone.strides)


def _mmdet(chance: random.Random) -> dict[str, Any]:
    return dict(of_mmdet.make_config(chance.choice([{}, of_mmdet.DC5, of_mmdet.C4, of_mmdet.SECOND])).values)


def _make_mmdet(config: Section) -> None:
    mmdet_support.check_supported(config)
    with torch.device("meta"):
        network = mmdet_network.build_network(config)
    mmdet_spec.model_spec(config, network.num_features(), network.size_divisor())


@pytest.mark.parametrize(("values_of", "make"), [(_detectron2, _make_detectron2), (_mmdet, _make_mmdet)])
def test_other_values_end_in_a_sentence_or_in_a_model(values_of, make):
    chance = random.Random(0)
    refused = 0
    for _ in range(NUMBER):
        values = values_of(chance)
        _mutate(values, chance)
        try:
            make(Section(values))
        except MaskrtError as error:
            refused += 1
            assert str(error).endswith(".")
            assert len(str(error)) < 600
    assert 0 < refused < NUMBER
