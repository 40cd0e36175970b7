"""Which framework and which network a state dict is of, by the names of its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from maskrt.export.checkpoints.errors import SUPPORTED, CheckpointError
from maskrt.export.checkpoints.read import Checkpoint

Framework = Literal["torchvision", "detectron2", "mmdetection"]


@dataclass(frozen=True)
class Architecture:
    """What a state dict is of.

    Attributes:
        framework: whose names the weights have; None: of neither framework that maskrt exports from.
        name: of the network, for example "Mask R-CNN", "RetinaNet of detectron2"; "" if it is not known.
        remedy: why it cannot be exported and what to do, as a sentence; None: it is of a kind that can be.
    """

    framework: Framework | None
    name: str
    remedy: str | None = None


class _Names:
    """Names of weights, asked for their beginnings and their parts."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._text = "\n" + "\n".join(self._names)

    def begin(self, *beginnings: str) -> bool:
        """Whether some name begins with each of them."""
        return all(f"\n{beginning}" in self._text for beginning in beginnings)

    def have(self, *parts: str) -> bool:
        """Whether each of them is in some name, where a word of it begins."""
        return all(f".{part}" in self._text or f"\n{part}" in self._text for part in parts)

    def match(self, pattern: str) -> bool:
        """Whether some name begins with what a regular expression says."""
        return re.search(rf"^{pattern}", self._text, re.MULTILINE) is not None


Test = Callable[[_Names], bool]

# In this order: the first that is true names the network. Each is told by names that no supported one has.
_OTHERS: tuple[tuple[str, Test], ...] = (
    ("Mask2Former or MaskFormer", lambda n: n.have("sem_seg_head.predictor.") or n.have("pixel_decoder.")),
    ("Segment Anything", lambda n: n.have("mask_decoder.", "prompt_encoder.")),
    ("PointRend", lambda n: n.have("mask_point_head.") or n.have("mask_coarse_head.") or n.have("point_head.")),
    ("Hybrid Task Cascade", lambda n: n.have("semantic_head.") or n.match(r"roi_head\.mask_head\.\d+\.conv_res")),
    ("Mask Scoring R-CNN", lambda n: n.have("mask_iou_head.") or n.have("maskiou_head.")),
    ("Grid R-CNN", lambda n: n.have("grid_head.")),
    ("QueryInst or Sparse R-CNN", lambda n: n.have("init_proposal_features") or n.have("init_proposal_boxes")),
    ("Double-Head R-CNN", lambda n: n.begin("roi_head.bbox_head.conv_branch.")),
    ("a detector with SABL", lambda n: n.begin("roi_head.bbox_head.side_") or n.have("bbox_head.reg_cls_")),
    ("DetectoRS", lambda n: n.have("rfp_modules.") or n.have("rfp_aspp.")),
    ("Mask DINO or DINO", lambda n: n.have("label_enc.") or n.have("dn_query_generator")),
    ("DETR", lambda n: n.have("query_embed") or n.have("class_embed") or n.have("transformer.decoder")),
    (
        "SOLO or SOLOv2",
        lambda n: n.match(r"(?:mask_head\.(?:kernel_convs|conv_mask_list)|ins_head\.kernel)"),
    ),
    ("YOLACT", lambda n: n.have("protonet") or n.have("proto_net")),
    ("CondInst or BoxInst", lambda n: n.have("proposal_generator.fcos_head") or n.have("controller.")),
    ("FCOS", lambda n: n.have("ctrness") or n.have("bbox_ctrness") or n.have("conv_centerness")),
    ("RTMDet", lambda n: n.have("bbox_head.rtm_")),
    ("YOLOX", lambda n: n.have("multi_level_conv") or n.have("backbone.backbone.dark")),
    ("YOLO", lambda n: n.match(r"(?:model\.)?\d+\.(?:conv|bn|cv\d|m)\.") or n.have("yolo")),
    ("SSD", lambda n: n.have("head.classification_head.module_list") or n.have("extra_layers.")),
    (
        "RetinaNet",
        lambda n: (
            n.have("retina_cls")
            or n.begin("head.cls_subnet.")
            or n.begin("head.classification_head.")
            or n.begin("head.bbox_subnet.")
        ),
    ),
    ("Panoptic FPN", lambda n: n.begin("sem_seg_head.", "roi_heads.") or n.begin("panoptic_head.")),
    ("a semantic segmentation network", lambda n: n.begin("sem_seg_head.") or n.begin("decode_head.")),
)

_NETWORKS: tuple[tuple[str, Test], ...] = (
    ("Cascade Mask R-CNN", lambda n: n.match(r"roi_heads?\.(?:box_predictor|bbox_head)\.\d") and n.have("mask_head.")),
    ("Cascade R-CNN", lambda n: n.match(r"roi_heads?\.(?:box_predictor|bbox_head)\.\d")),
    ("Keypoint R-CNN", lambda n: n.begin("roi_heads.keypoint_")),
    ("Mask R-CNN", lambda n: n.begin("roi_heads.mask_") or n.begin("roi_head.mask_head.")),
    ("Faster R-CNN", lambda n: n.begin("roi_head")),
)

_EXPECTED = f"Expected the whole state dict of one of: {SUPPORTED}."
_UPGRADE = (
    "It is of mmdetection 1, whose classes and names are others. Convert it with mmdetection 2's "
    "tools/model_converters/upgrade_model_version.py."
)


def identify(checkpoint: Checkpoint) -> Architecture:
    """Tell what a checkpoint's weights are of."""
    names = _Names(checkpoint.tensors)
    for other, is_it in _OTHERS:
        if is_it(names):
            framework = _framework(names)
            return Architecture(None, other if framework is None else f"{other} of {framework}", _EXPECTED)
    if names.match(r"(?:conv1|res\d_\d+_branch\w+|fpn_\w+|conv_rpn\w*|fc[67]|cls_score|bbox_pred)_(?:w|b|bn_s)$"):
        return Architecture(None, "Detectron's (Caffe2)", _CAFFE2)
    if names.begin("roi_heads.box.feature_extractor.") or names.begin("rpn.head.cls_logits", "backbone.body.stem."):
        return Architecture(
            None,
            "maskrcnn-benchmark's R-CNN",
            "It is of maskrcnn-benchmark, whose anchors and boxes count pixels otherwise. Convert it to detectron2.",
        )
    framework = _framework(names)
    if framework is None:
        return Architecture(None, *_unknown(names))
    if framework == "mmdetection" and not names.begin("roi_head."):
        return Architecture(None, "a detector of mmdetection 1", _UPGRADE)
    name = next((network for network, is_it in _NETWORKS if is_it(names)), "")
    if not name:
        return Architecture(None, f"a part of a detector of {framework}", f"It has no RoI heads. {_EXPECTED}")
    remedy = _other_parts(names) if framework != "torchvision" else None
    if remedy is None and framework == "detectron2":
        remedy = _pickle_author(checkpoint)
    return Architecture(framework, name, remedy)


def require_supported(checkpoint: Checkpoint, framework: Framework | None = None) -> Architecture:
    """Tell what a checkpoint's weights are of, if that can be exported.

    Args:
        checkpoint: the weights.
        framework: that they must be of, if it is known already.

    Raises:
        CheckpointError: they are of another network or framework; the message names it, and what can be exported.
    """
    found = identify(checkpoint)
    if found.remedy is not None:
        what = f" is {found.name}" if found.name else " is of a network that is not known"
        raise CheckpointError(f"Cannot export {checkpoint.path}: it{what}. {found.remedy}")
    if framework is not None and found.framework != framework:
        raise CheckpointError(
            f"{checkpoint.path} is a {found.name} of {found.framework}; expected one of {framework}. Give a "
            "checkpoint of that framework, or name the right one."
        )
    return found


_CAFFE2 = (
    "detectron2 itself reads such files by guessing which name is which. Convert it: load it with detectron2's "
    "DetectionCheckpointer, and save torch.save({'model': model.state_dict()}, 'model_final.pth')."
)


def _framework(names: _Names) -> Framework | None:
    if names.begin("roi_head.") or names.match(r"rpn_head\.rpn_(?:cls|reg|conv)") or names.begin("neck."):
        return "mmdetection"
    if names.begin("proposal_generator.") or names.match(r"backbone\.(?:bottom_up|fpn_lateral|stem\.|res\d\.)"):
        return "detectron2"
    if names.begin("roi_heads.", "rpn.head.") or names.begin("rpn.head.") or names.begin("backbone.body."):
        return "torchvision"
    return None


def _unknown(names: _Names) -> tuple[str, str]:
    if names.match(r"(?:layer1\.0|stem\.conv1|features\.0|res2\.0)\.") or names.begin("blocks.0."):
        return "a backbone without a detector", _EXPECTED
    return "", _EXPECTED


def _other_parts(names: _Names) -> str | None:
    """Return what a network of the right kind has that cannot be exported."""
    parts: tuple[tuple[str, bool], ...] = (
        (
            "deformable convolutions",
            names.have("conv2_offset.") or names.have("conv_offset"),
        ),
        ("a ViT backbone", names.begin("backbone.net.blocks.") or names.begin("backbone.simfp_")),
        (
            "a Swin backbone",
            names.begin("backbone.bottom_up.patch_embed.")
            or names.begin("backbone.patch_embed.")
            or names.match(r"backbone\.stages\.0\.blocks\.0\.attn"),
        ),
        ("a RegNet backbone", names.match(r"backbone\.(?:bottom_up\.s1\.b1|layer1\.0\.conv4)\.")),
        ("a PAFPN neck", names.begin("neck.downsample_convs.")),
        ("a neck of several parts", names.match(r"neck\.[01]\.")),
        ("a CARAFE upsampler", names.have("channel_compressor.")),
    )
    for part, is_there in parts:
        if is_there:
            return f"It has {part}. Expected a ResNet or ResNeXt, with an FPN, C4 or DC5, without them."
    return None


def _pickle_author(checkpoint: Checkpoint) -> str | None:
    """Why a pickle of detectron2's names is none of its zoo: detectron2 itself would guess what its names mean."""
    if checkpoint.container != "pickle":
        return None
    if "__author__" not in checkpoint.meta or checkpoint.meta.get("matching_heuristics"):
        return (
            "It is a .pkl without __author__, or with matching_heuristics, whose names detectron2 guesses. Save what "
            "detectron2 loaded: torch.save({'model': model.state_dict()}, 'model_final.pth')."
        )
    return None
