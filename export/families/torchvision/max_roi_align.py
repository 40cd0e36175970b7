"""RoIAlign that takes the maximum of a cell's samples, to train torchvision's detectors with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torchvision.ops import MultiScaleRoIAlign

from maskrt.errors import ArgumentError


class MaxRoIAlign(nn.Module):
    """In the place of `torchvision.ops.MultiScaleRoIAlign`: the maximum of the interpolated samples, not their mean.

    The lecture on Mask R-CNN describes RoIAlign so. Each sample is bilinear (He et al. 2017, figure 3); gradients go to
    the four values around the sample that is the maximum. It is torchvision's own RoIAlign with one sample to a cell on
    a grid that is finer by `sampling_ratio`, and max pooling.

        model = fasterrcnn_resnet50_fpn(box_roi_pool=MaxRoIAlign(["0", "1", "2", "3"], 7, 2))

    Models that have it are exported; in TensorRT it is mode "max" of the plugin.

    Args:
        featmap_names, output_size, canonical_scale, canonical_level: see `MultiScaleRoIAlign`.
        sampling_ratio: samples of a cell in each direction, at least 1: the maximum of an adaptive number of samples
            would depend on the size of the RoI.

    Raises:
        ArgumentError: a sampling ratio below 1.
    """

    def __init__(
        self,
        featmap_names: Sequence[str],
        output_size: int | Sequence[int],
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        if sampling_ratio < 1:
            raise ArgumentError(f"sampling_ratio should be at least 1 to take maxima, but is {sampling_ratio}.")
        height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
        self.featmap_names, self.output_size, self.sampling_ratio = list(featmap_names), (height, width), sampling_ratio
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level
        self.samples = MultiScaleRoIAlign(
            self.featmap_names,
            (height * sampling_ratio, width * sampling_ratio),
            1,
            canonical_scale=canonical_scale,
            canonical_level=canonical_level,
        )

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Pool boxes `[N, 4]` of each image → `[sum of N, C, output_size]`; see `MultiScaleRoIAlign.forward`."""
        return max_pool2d(self.samples(x, boxes, image_shapes), self.sampling_ratio)

    def __repr__(self) -> str:
        return (
            f"MaxRoIAlign(featmap_names={self.featmap_names}, output_size={self.output_size}, "
            f"sampling_ratio={self.sampling_ratio})"
        )
