import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrt.contract.pipeline import Resize
from maskrt.export.verification_pictures import made_up_pictures


@pytest.mark.parametrize(
    ("min_size", "max_size"),
    [(320, 560), (96, 160), (64, 64), (64, 80), (65, 80), (65, 66), (161, 333), (160, 100), (200, 101), (320, 256)],
)
@pytest.mark.parametrize("contrast", [1.0, 0.25])
def test_resized_levels_are_whole(min_size: int, max_size: int, contrast: float) -> None:
    """So that a file with uint8 input sees what the model sees; and the pictures are no squares, and are resized."""
    pictures = made_up_pictures(Resize("floor", "bilinear", min_size, max_size), contrast)
    transform = GeneralizedRCNNTransform(min_size, max_size, [0.0] * 3, [1.0] * 3).eval()
    images, _ = transform([torch.from_numpy(picture).permute(2, 0, 1).float() / 255 for picture in pictures])
    for picture, (height, width), image in zip(pictures, images.image_sizes, images.tensors, strict=True):
        assert picture.dtype == np.uint8
        assert height != width
        assert height / picture.shape[0] == width / picture.shape[1]
        assert height / picture.shape[0] in (0.5, 2.0)
        levels = image[:, :height, :width] * 255
        assert (levels - levels.round()).abs().max() < 1e-3
        assert np.ptp(picture) > 200 * contrast
    (h0, w0), (h1, w1) = (picture.shape[:2] for picture in pictures)
    assert (h0 < w0) != (h1 < w1)


def test_pictures_that_are_taken_as_they_are() -> None:
    sizes = [picture.shape for picture in made_up_pictures(Resize("shortest_edge", "pillow_bilinear", 0, 1333), 1.0)]
    assert sizes == [(320, 400, 3), (448, 320, 3)]
