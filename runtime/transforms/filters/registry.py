"""The filters by the names of `contract.pipeline.Filter`, one file each."""

from collections.abc import Mapping

from maskrt.runtime.transforms.filters import bilinear, opencv_bilinear, pillow_bilinear
from maskrt.runtime.transforms.filters.base import Filter

FILTERS: Mapping[str, Filter] = {
    "bilinear": bilinear.FILTER,
    "pillow_bilinear": pillow_bilinear.FILTER,
    "opencv_bilinear": opencv_bilinear.FILTER,
}
