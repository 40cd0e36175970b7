"""The size rules by the names of `contract.pipeline.SizeRule`, one file each."""

from collections.abc import Mapping

from maskrt.runtime.transforms.sizes import fit, floor, shortest_edge
from maskrt.runtime.transforms.sizes.base import SizeRule

SIZE_RULES: Mapping[str, SizeRule] = {
    "floor": floor.RULE,
    "shortest_edge": shortest_edge.RULE,
    "fit": fit.RULE,
}
