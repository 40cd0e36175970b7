from pathlib import Path

import pytest
import torch

from maskrt.export.checkpoints import Checkpoint, CheckpointError
from maskrt.export.checkpoints.architecture import identify, require_supported

TORCHVISION = (
    "backbone.body.conv1.weight",
    "backbone.fpn.inner_blocks.0.0.weight",
    "rpn.head.conv.0.0.weight",
    "roi_heads.box_head.fc6.weight",
)
DETECTRON2 = (
    "backbone.bottom_up.stem.conv1.weight",
    "backbone.fpn_lateral2.weight",
    "proposal_generator.rpn_head.conv.weight",
    "roi_heads.box_predictor.cls_score.weight",
)
MMDET = (
    "backbone.conv1.weight",
    "neck.lateral_convs.0.conv.weight",
    "rpn_head.rpn_conv.weight",
    "roi_head.bbox_head.fc_cls.weight",
)


def checkpoint(*names: str, container: str = "torch zip", **meta: object) -> Checkpoint:
    return Checkpoint(Path("mine.pth"), container, {name: torch.ones(2) for name in names}, {}, meta, (), ())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "framework", "network"),
    [
        (TORCHVISION, "torchvision", "Faster R-CNN"),
        ((*TORCHVISION, "roi_heads.mask_head.0.0.weight"), "torchvision", "Mask R-CNN"),
        ((*TORCHVISION, "roi_heads.mask_head.mask_fcn1.weight"), "torchvision", "Mask R-CNN"),
        ((*TORCHVISION, "roi_heads.keypoint_head.0.weight"), "torchvision", "Keypoint R-CNN"),
        (("backbone.body.1.weight", *TORCHVISION[2:]), "torchvision", "Faster R-CNN"),
        (("backbone.body.blocks.0.attn.qkv.weight", *TORCHVISION[1:]), "torchvision", "Faster R-CNN"),
        (DETECTRON2, "detectron2", "Faster R-CNN"),
        ((*DETECTRON2, "roi_heads.mask_head.mask_fcn1.weight"), "detectron2", "Mask R-CNN"),
        ((*DETECTRON2, "roi_heads.keypoint_head.conv_fcn1.weight"), "detectron2", "Keypoint R-CNN"),
        (
            (
                "backbone.res2.0.conv1.weight",
                *DETECTRON2[2:],
                "roi_heads.res5.0.conv1.weight",
                "roi_heads.mask_head.deconv.weight",
            ),
            "detectron2",
            "Mask R-CNN",
        ),
        ((*DETECTRON2[:3], "roi_heads.box_predictor.0.cls_score.weight"), "detectron2", "Cascade R-CNN"),
        (
            (*DETECTRON2[:3], "roi_heads.box_predictor.0.cls_score.weight", "roi_heads.mask_head.deconv.weight"),
            "detectron2",
            "Cascade Mask R-CNN",
        ),
        (MMDET, "mmdetection", "Faster R-CNN"),
        ((*MMDET, "roi_head.mask_head.convs.0.conv.weight"), "mmdetection", "Mask R-CNN"),
        ((*MMDET[:3], "roi_head.bbox_head.0.fc_cls.weight"), "mmdetection", "Cascade R-CNN"),
        (
            (*MMDET[:3], "roi_head.bbox_head.0.fc_cls.weight", "roi_head.mask_head.0.conv_logits.weight"),
            "mmdetection",
            "Cascade Mask R-CNN",
        ),
    ],
)
def test_what_can_be_exported(names, framework, network):
    found = identify(checkpoint(*names))
    assert (found.framework, found.name, found.remedy) == (framework, network, None)
    assert require_supported(checkpoint(*names), framework) == found


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("backbone.bottom_up.stem.conv1.weight", "head.cls_subnet.0.weight"), "RetinaNet of detectron2"),
        (("backbone.body.conv1.weight", "head.classification_head.conv.0.0.weight"), "RetinaNet of torchvision"),
        (
            ("backbone.conv1.weight", "neck.fpn_convs.0.conv.weight", "bbox_head.retina_cls.weight"),
            "RetinaNet of mmdet",
        ),
        (("backbone.body.conv1.weight", "head.regression_head.bbox_ctrness.weight"), "FCOS"),
        (("backbone.conv1.weight", "neck.a", "bbox_head.conv_centerness.weight"), "FCOS of mmdetection"),
        (("backbone.stem.conv1.weight", "sem_seg_head.predictor.query_feat.weight"), "Mask2Former or MaskFormer"),
        (("backbone.conv1.weight", "panoptic_head.pixel_decoder.a.weight"), "Mask2Former or MaskFormer"),
        ((*DETECTRON2, "roi_heads.mask_head.coarse_head.a", "roi_heads.mask_head.point_head.fc1.weight"), "PointRend"),
        ((*MMDET, "roi_head.point_head.fcs.0.conv.weight"), "PointRend of mmdetection"),
        ((*MMDET, "roi_head.semantic_head.convs.0.conv.weight"), "Hybrid Task Cascade"),
        ((*MMDET, "roi_head.mask_head.1.conv_res.conv.weight"), "Hybrid Task Cascade"),
        (("backbone.0.body.conv1.weight", "transformer.decoder.layers.0.weight", "class_embed.weight"), "DETR"),
        (("backbone.conv1.weight", "neck.a", "mask_head.kernel_convs.0.conv.weight"), "SOLO"),
        (("model.0.conv.weight", "model.24.m.0.weight"), "YOLO"),
        (("0.conv.weight", "9.cv1.conv.weight"), "YOLO"),
        (("backbone.stage1.0.conv.weight", "neck.a", "bbox_head.multi_level_conv_cls.0.weight"), "YOLOX"),
        (("backbone.features.0.weight", "neck.extra_layers.0.0.conv.weight"), "SSD"),
        (("backbone.conv1.weight", "mask_head.protonet.0.weight"), "YOLACT"),
        ((*MMDET, "rpn_head.init_proposal_features.weight"), "Sparse R-CNN"),
        ((*MMDET, "roi_head.mask_iou_head.fcs.0.weight"), "Mask Scoring R-CNN"),
        ((*DETECTRON2, "sem_seg_head.p2.0.weight"), "Panoptic FPN of detectron2"),
        (("image_encoder.a", "prompt_encoder.b", "mask_decoder.c"), "Segment Anything"),
        (
            ("backbone.conv1.weight", "rpn_head.rpn_conv.weight", "bbox_head.fc_cls.weight"),
            "mmdetection 1.*upgrade_model_version",
        ),
        (("res2_0_branch2a_w", "conv_rpn_fpn2_w"), "Caffe2.*DetectionCheckpointer"),
        (
            (
                "backbone.body.stem.conv1.weight",
                "rpn.head.cls_logits.weight",
                "roi_heads.box.feature_extractor.fc6.weight",
            ),
            "maskrcnn-benchmark",
        ),
        ((*DETECTRON2, "backbone.bottom_up.res3.0.conv2_offset.weight"), "deformable convolutions"),
        ((*MMDET, "backbone.layer2.0.conv2.conv_offset.weight"), "deformable convolutions"),
        (("backbone.net.blocks.0.norm1.weight", *DETECTRON2[2:]), "a ViT backbone"),
        (("backbone.bottom_up.s1.b1.a.weight", *DETECTRON2[1:]), "a RegNet backbone"),
        (("backbone.patch_embed.projection.weight", *MMDET[1:]), "a Swin backbone"),
        ((*MMDET, "neck.downsample_convs.0.conv.weight"), "a PAFPN neck"),
        (("conv1.weight", "layer1.0.conv1.weight", "fc.weight"), "a backbone without a detector"),
        (DETECTRON2[:3], "a part of a detector of detectron2"),
        (("encoder.weight", "decoder.weight"), "of a network that is not known"),
    ],
)
def test_others_are_named_with_what_is_supported(names, message):
    with pytest.raises(CheckpointError, match=rf"Cannot export mine\.pth: it.*{message}") as caught:
        require_supported(checkpoint(*names))
    assert str(caught.value).endswith(".")


def test_a_checkpoint_of_another_framework():
    with pytest.raises(CheckpointError, match="is a Faster R-CNN of mmdetection; expected one of detectron2"):
        require_supported(checkpoint(*MMDET), "detectron2")


def test_a_pickle_that_detectron2_would_guess_about():
    for meta in ({}, {"__author__": "torchvision", "matching_heuristics": True}):
        with pytest.raises(CheckpointError, match="without __author__, or with matching_heuristics"):
            require_supported(checkpoint(*DETECTRON2, container="pickle", **meta))
    require_supported(checkpoint(*DETECTRON2, container="pickle", __author__="Detectron2 Model Zoo"))
    require_supported(checkpoint(*TORCHVISION, container="pickle"))


@pytest.mark.parametrize(("extra", "expected"), [("", True), ("backbone.body.bn1.num_batches_tracked", False)])
def test_frozen_norms_have_no_counters(extra, expected):
    names = ["backbone.body.bn1.running_var", *([extra] if extra else [])]
    assert checkpoint(*names).has_frozen_norms is expected
    assert not checkpoint("backbone.weight").has_frozen_norms
