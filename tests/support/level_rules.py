"""The frameworks' own rules for the pyramid level of an RoI."""

from torchvision.ops.poolers import LevelMapper

from maskrt.export.rcnn.spec import LevelRule


def rule_of(mapper: LevelMapper) -> LevelRule:
    """torchvision's, with the settings of a mapper."""
    return LevelRule(mapper.s0, mapper.lvl0, mapper.k_min, inner_epsilon=0.0, outer_epsilon=mapper.eps)


def levels_of(mapper: LevelMapper) -> int:
    """How many levels it knows."""
    return int(mapper.k_max - mapper.k_min + 1)


TORCHVISION = rule_of(LevelMapper(2, 5))
DETECTRON2 = LevelRule(224.0, 4, 2, inner_epsilon=1e-8, outer_epsilon=0.0)
MMDETECTION = LevelRule(56.0, 0, 0, inner_epsilon=1e-6, outer_epsilon=0.0)
