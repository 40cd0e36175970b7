"""Models to benchmark where no trained weights can be had."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torchvision.models import detection
from torchvision.models.detection import MaskRCNN

from maskrt.shapes.backgrounds import photograph
from maskrt.tools.drawn_weights import draw_weights

_SIZE = (800, 1333)


def maskrcnn_resnet50_fpn() -> MaskRCNN:
    """Torchvision's model of this name, 91 classes, with weights that give about all the detections an image may have.

    The same weights in every process: for `maskrt export` and for `--source` of `maskrt bench`.
    """
    height, width = _SIZE
    image = cv2.resize(np.ascontiguousarray(photograph("china.jpg")), (width, height), interpolation=cv2.INTER_CUBIC)
    model = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would be other weights
    try:
        draw_weights(model, [torch.from_numpy(image).permute(2, 0, 1).float() / 255])
    finally:
        torch.set_num_threads(threads)
    return model
