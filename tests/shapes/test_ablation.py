import subprocess
import sys

import torch
from torch.nn.functional import pad
from torchvision.ops import MultiScaleRoIAlign, roi_pool

from maskrt.evaluation.metrics.coco import ApStatistics
from maskrt.shapes import ablation

SHAPES = [(128, 160), (128, 160)]


def _features() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {str(level): torch.randn(2, 3, 32 >> level, 40 >> level, generator=generator) for level in range(4)}


def _boxes() -> list[torch.Tensor]:
    """Of levels 0 and 1, without regard to their order."""
    return [torch.tensor([[3.0, 5.0, 131.0, 117.0], [20.3, 30.6, 71.9, 64.2]]), torch.tensor([[0.0, 0.0, 33.0, 9.0]])]


def test_roi_pool_on_a_pyramid_is_torchvisions_on_each_level():
    features, boxes = _features(), _boxes()
    found = ablation.RoIPool(["0", "1", "2", "3"], 7)(features, boxes, SHAPES)
    levels = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    levels(features, boxes, SHAPES)
    chosen = levels.map_levels(boxes).tolist()
    rois = torch.cat([pad(of_image, (1, 0), value=image) for image, of_image in enumerate(boxes)])
    for row, (level, roi) in enumerate(zip(chosen, rois, strict=True)):
        torch.testing.assert_close(found[[row]], roi_pool(features[str(level)], roi[None], 7, 1 / (4 << level)))


def test_gradients_reach_the_features():
    features = {name: feature.requires_grad_() for name, feature in _features().items()}
    ablation.RoIPool(["0", "1", "2", "3"], 7)(features, _boxes(), SHAPES).sum().backward()
    assert features["0"].grad is not None and features["0"].grad.abs().sum() > 0


def test_the_table_has_means_and_each_seed():
    def scores(ap: float) -> ablation.Scores:
        return {kind: ApStatistics(ap, ap, None, None, None, None) for kind in ("bbox", "segm")}

    lines = ablation.table({"RoIPool": [scores(0.2), scores(0.4)]}).splitlines()
    assert lines[1].split() == ["RoIPool", *2 * ["0.3000", "0.3000", "0.0000"], "0.2000", "0.4000"]


def test_poolings_learn_side_by_side():
    """In a process of its own, whose worker is forked before there are threads."""
    options = ["--steps", "1", "--batch-size", "1", "--seeds", "1", "--limit", "1"]
    command = [sys.executable, "-m", "maskrt.shapes.ablation", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "step 1/1" in result.stderr
    assert [line.partition("  ")[0] for line in result.stdout.splitlines()[-3:]] == list(ablation.POOLINGS)
