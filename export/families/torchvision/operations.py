"""What torchvision does around the network, without a model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrt.contract.pipeline import Boxes, Paste, Pipeline, Resize

SIZE_DIVISOR = 32
BOXES = Boxes(clip=False, drop_empty=False)
PASTE = Paste("integer_box", 0.5)
"""torchvision gives probabilities; 0.5 is what its documentation cuts them at."""

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class TorchvisionOperations:
    """With the settings of its own models; see `maskrt.export.families.base.Operations`."""

    name = "torchvision"
    pipeline = Pipeline(Resize("floor", "bilinear", 800, 1333), SIZE_DIVISOR, BOXES, PASTE)

    def __init__(self) -> None:
        resize = self.pipeline.resize
        self._transform = GeneralizedRCNNTransform(resize.min_size, resize.max_size, _MEAN, _STD).eval()

    def preprocess(self, picture: np.ndarray) -> Tensor:
        """Scale to 0-1, normalise, resize and pad, as `GeneralizedRCNN.forward` does."""
        images, _ = self._transform([to_tensor(picture, torch.device("cpu"))])
        return images.tensors

    def paste(self, probabilities: Tensor, boxes: Tensor, picture_size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Paste masks one at a time."""
        return paste_masks(probabilities, boxes, picture_size)


def to_tensor(picture: np.ndarray, device: torch.device) -> Tensor:
    """Return a picture `[H, W, 3]` uint8 as torchvision's models take it: `[3, H, W]` float32, 0-1."""
    return torch.from_numpy(picture).to(device).permute(2, 0, 1).float() / 255


def paste_masks(probabilities: Tensor, boxes: Tensor, picture_size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Paste masks one at a time; see `maskrt.export.reference.Reference.paste`."""
    for mask, box in zip(probabilities, boxes, strict=True):
        pasted = paste_masks_in_image(mask[None, None], box[None], picture_size)[0, 0]
        yield (pasted > PASTE.threshold).cpu().numpy()
