from dataclasses import replace

import numpy as np

from maskrt.contract.pipeline import Paste
from maskrt.evaluation.compare.pasting import pasting_iou
from maskrt.export.families.base import describe_model
from maskrt.runtime import Instances
from maskrt.runtime.structures.masks import GridMasks

NAMES = ("__background__", "a", "b")


def test_pasting_is_the_frameworks(shapes_model):
    reference = describe_model(shapes_model).reference()
    rng = np.random.default_rng()
    corner = rng.uniform(0, 60, (6, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(5, 60, (6, 2))), axis=1).astype(np.float32)
    masks = GridMasks(rng.random((6, 28, 28), dtype=np.float32), boxes, (90, 110), Paste("integer_box", 0.5))
    instances = Instances(boxes, np.ones(6, np.float32), np.ones(6, np.int32), masks, NAMES, (90, 110))
    assert pasting_iou(instances, reference) > 0.999
    shifted = replace(instances)
    object.__setattr__(shifted, "rle", replace(masks, boxes=boxes + np.float32(1)).rle)
    assert pasting_iou(shifted, reference) < 0.9
    assert pasting_iou(instances[:0], reference) is None
