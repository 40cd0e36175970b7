"""The demo model: a torchvision Mask R-CNN small enough to be trained on a CPU in some hours."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.resnet import BasicBlock, ResNet

from maskrt.errors import ModelError
from maskrt.shapes.outlines import CLASS_NAMES

WEIGHTS = Path(__file__).resolve().parent / "shapes.safetensors"

_FPN_CHANNELS = 128


def build_model() -> MaskRCNN:
    """Build an untrained Mask R-CNN: ResNet with 2+2+1+1 basic blocks, FPN of 128 channels, 8 classes and background.

    Images are resized to a short side of 320 pixels (long side at most 560); at most 40 detections an image.
    """
    body = ResNet(BasicBlock, [2, 2, 1, 1])
    backbone = BackboneWithFPN(
        body,
        return_layers={f"layer{i + 1}": str(i) for i in range(4)},
        in_channels_list=[64, 128, 256, 512],
        out_channels=_FPN_CHANNELS,
    )
    num_classes = len(CLASS_NAMES)
    model = MaskRCNN(
        backbone,
        min_size=320,
        max_size=560,
        rpn_anchor_generator=AnchorGenerator(
            sizes=((16,), (32,), (64,), (128,), (256,)), aspect_ratios=((0.5, 1.0, 2.0),) * 5
        ),
        rpn_pre_nms_top_n_train=600,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=400,
        rpn_post_nms_top_n_test=256,
        rpn_batch_size_per_image=96,
        box_head=TwoMLPHead(_FPN_CHANNELS * 7 * 7, 256),
        box_predictor=FastRCNNPredictor(256, num_classes),
        box_batch_size_per_image=64,
        box_detections_per_img=40,
        mask_head=MaskRCNNHeads(_FPN_CHANNELS, (_FPN_CHANNELS,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(_FPN_CHANNELS, _FPN_CHANNELS, num_classes),
    )
    model.class_names = CLASS_NAMES  # read by the exporter
    return model


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights as safetensors; floating-point tensors are stored in half precision, at half the size."""
    from safetensors.torch import save_file

    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(tensors, path)


def load_weights(model: MaskRCNN, path: Path) -> MaskRCNN:
    """Fill a model of this module with the weights in a file, in FP32, and return it.

    Raises:
        ModelError: the file is missing, damaged or of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"{path} is missing: `make train-shapes` makes the demo model's weights.")
    try:
        state = load_file(path)
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path} holds no weights of the demo model: {error}") from None
    return model


def shapes_model() -> MaskRCNN:
    """Load the trained demo model in evaluation mode, FP32 (`maskrt export maskrt.shapes.model:shapes_model`).

    Raises:
        ModelError: the weights are missing.
    """
    return load_weights(build_model(), WEIGHTS).eval()
