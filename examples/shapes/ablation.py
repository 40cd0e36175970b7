"""RoIPool, RoIAlign with averages and RoIAlign with maxima on the demo's scenes, side by side: average precision.

The experiment of table 2c of "Mask R-CNN" (He et al. 2017), small enough for a CPU. Backbone, FPN and RPN are the demo
model's, trained with averages, and stay as they are; box and mask heads are trained anew for each pooling, from the
same first weights, on the same images and RoIs. With --seeds, all of that is repeated from other first weights: the
spread between the seeds is the noise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign, roi_pool
from torchvision.ops.poolers import initLevelMapper

from maskrt.command import run_verb
from maskrt.evaluation.metrics.coco import ApStatistics, average_precision
from maskrt.export.families.torchvision.max_roi_align import MaxRoIAlign
from maskrt.export.reference import encode_masks
from maskrt.options import fraction, positive
from maskrt.shapes.dataset import ground_truth
from maskrt.shapes.heads import Trunk, train_heads
from maskrt.shapes.model import build_model
from maskrt.shapes.score import held_out_images

EXTRA = "maskrt[export,evaluate,shapes]"
INTERRUPTED_NOTE = "nothing is written"

_LEVELS = ["0", "1", "2", "3"]
_SAMPLES = 2
"""Of a cell in each direction."""

_ROIS = 32
"""Of an image that heads learn from; a quarter of them with masks."""

_BOX_CELLS, _MASK_CELLS = 7, 14


class RoIPool(nn.Module):
    """RoIPool (Girshick 2015) on the levels of an FPN, in the place of `torchvision.ops.MultiScaleRoIAlign`.

    Boxes are rounded to whole feature pixels, and cells to whole pixels of these; a cell has the maximum of its pixels.

    Args:
        featmap_names: of levels of stride 4, 8, ….
        output_size: cells in each direction.
    """

    def __init__(self, featmap_names: Sequence[str], output_size: int) -> None:
        super().__init__()
        self.featmap_names, self.output_size = list(featmap_names), output_size
        self.map_levels = initLevelMapper(2, 1 + len(self.featmap_names))

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Pool boxes `[N, 4]` of each image → `[sum of N, C, cells, cells]`; see `MultiScaleRoIAlign.forward`."""
        rois = torch.cat([pad(of_image, (1, 0), value=image) for image, of_image in enumerate(boxes)])
        levels = self.map_levels(boxes)
        channels = x[self.featmap_names[0]].shape[1]
        pooled = rois.new_zeros(len(rois), channels, self.output_size, self.output_size)
        for level, name in enumerate(self.featmap_names):
            (rows,) = torch.where(levels == level)
            pooled = pooled.index_copy(0, rows, roi_pool(x[name], rois[rows], self.output_size, 1 / 2 ** (2 + level)))
        return pooled


POOLINGS: Mapping[str, Callable[[int], nn.Module]] = {
    "RoIPool": lambda cells: RoIPool(_LEVELS, cells),
    "RoIAlign, average": lambda cells: MultiScaleRoIAlign(_LEVELS, cells, _SAMPLES),
    "RoIAlign, maximum": lambda cells: MaxRoIAlign(_LEVELS, cells, _SAMPLES),
}
"""Name → pooling of so many cells in each direction."""

Kind = Literal["bbox", "segm"]
_KINDS: tuple[Kind, ...] = ("bbox", "segm")

Scores = Mapping[Kind, ApStatistics]
"""AP of boxes and of masks."""


def ablation(
    steps: int, batch_size: int, learning_rate: float, seeds: int, scenes: int, say: Callable[[str], object]
) -> dict[str, list[Scores]]:
    """Train heads with each pooling and measure them on held-out scenes.

    Args:
        steps, batch_size, learning_rate: see `train_heads`; the same for each.
        seeds: how often, from other first weights.
        scenes: how many held-out scenes AP is measured on.
        say: is given a line for people now and then.

    Returns:
        The scores of each seed, by pooling.
    """
    trunk = Trunk()
    heads = {f"{pooling}, seed {seed}": _heads(pooling, seed) for seed in range(seeds) for pooling in POOLINGS}
    train_heads(trunk, heads, steps, batch_size, learning_rate, say)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in heads}
    for picture, image_id in held_out_images(scenes):
        for name, found in _detect(trunk, heads, picture):
            results[name] += [{**record, "image_id": image_id} for record in found]
    truth = ground_truth(scenes)
    scores: dict[str, Scores] = {
        name: {kind: average_precision(truth, records, kind).overall for kind in _KINDS}
        for name, records in results.items()
    }
    return {pooling: [scores[f"{pooling}, seed {seed}"] for seed in range(seeds)] for pooling in POOLINGS}


def _heads(pooling: str, seed: int) -> RoIHeads:
    """Return untrained heads of the demo model with a pooling; the same weights for the same seed."""
    torch.manual_seed(seed)
    heads = build_model().roi_heads
    heads.fg_bg_sampler.batch_size_per_image = _ROIS
    heads.box_roi_pool, heads.mask_roi_pool = (POOLINGS[pooling](cells) for cells in (_BOX_CELLS, _MASK_CELLS))
    return heads


@torch.no_grad()
def _detect(
    trunk: Trunk, heads: Mapping[str, RoIHeads], picture: np.ndarray
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield what each of the heads finds in a picture, as COCO result records."""
    inputs = trunk.of_picture(picture)
    for name, head in heads.items():
        found, _ = head(inputs.features, inputs.proposals, inputs.image_sizes)
        (result,) = trunk.model.transform.postprocess(found, inputs.image_sizes, [picture.shape[:2]])
        boxes = result["boxes"].tolist()
        numbers = (result["scores"].tolist(), result["labels"].tolist(), encode_masks(result["masks"][:, 0] > 0.5))
        yield (
            name,
            [
                {"category_id": label, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score, "segmentation": rle}
                for (x0, y0, x1, y1), score, label, rle in zip(boxes, *numbers, strict=True)
            ],
        )


def table(results: Mapping[str, Sequence[Scores]]) -> str:
    """Show the mean over the seeds, and the AP of each."""
    columns = [(kind, name) for kind in _KINDS for name in ("AP", "AP50", "AP75")]
    titles: dict[Kind, str] = {"bbox": "box", "segm": "mask"}
    head = "".join(f"{f'{titles[kind]} {name}':>11}" for kind, name in columns)
    lines = [f"{'':18}{head}   mask AP of each seed"]
    for pooling, scores in results.items():
        means = (statistics.fmean(getattr(s[kind], name) or 0.0 for s in scores) for kind, name in columns)
        each = "  ".join(f"{s['segm'].AP or 0.0:.4f}" for s in scores)
        lines.append(f"{pooling:18}{''.join(f'{mean:11.4f}' for mean in means)}   {each}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--steps", type=positive, default=200, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--learning-rate", type=fraction, default=1e-3, metavar="R", help="the largest, 0-1 (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=positive, default=2, metavar="N", help="repetitions (default: %(default)s)")
    parser.add_argument(
        "--limit", type=positive, default=60, metavar="N", help="held-out scenes (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Train, measure, print a table; return the exit code."""
    results = ablation(
        options.steps,
        options.batch_size,
        options.learning_rate,
        options.seeds,
        options.limit,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    images = options.steps * options.batch_size
    print(f"{images} images for each of the heads, seeds: {options.seeds}, held-out scenes: {options.limit}\n")
    print(table(results))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.ablation", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
