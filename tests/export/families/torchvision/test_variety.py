"""What people build of torchvision's parts: the graph finds what the whole model finds."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torchvision.models import get_model
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from maskrt.evaluation.metrics.match import Detections
from maskrt.export import export_onnx, verify
from maskrt.export.errors import UnsupportedModelError
from maskrt.export.families.base import describe_model
from maskrt.export.rcnn.graph import InferenceGraph
from maskrt.export.reference import to_levels
from maskrt.export.verification_pictures import made_up_pictures

from ....support.torchvision_models import (
    CHANNELS,
    CLASSES,
    Body,
    Pyramid,
    drawn,
    mask_options,
    small_backbone,
    small_faster_rcnn,
    small_mask_rcnn,
    small_options,
)

Make = Callable[[], Any]


def mask(backbone: nn.Module | None = None, **options: Any) -> Make:
    """A model with masks; options may be functions without arguments, since modules are not made when tests are."""
    return lambda: drawn(small_mask_rcnn(backbone, **{key: _made(value) for key, value in options.items()}))


def _made(value: Any) -> Any:
    return value() if isinstance(value, partial) else value


def levels(count: int, extra: Any = None, maps: int | None = None, pooled: int | None = None) -> Make:
    names = [str(level) for level in range(count if pooled is None else pooled)]

    def make() -> Any:
        backbone = small_backbone(count, extra_blocks=None if extra is None else extra())
        return drawn(
            MaskRCNN(backbone, **small_options(maps or count, names, **mask_options(names))).eval(),
        )

    return make


def anchors(*sizes: tuple[int, ...], ratios: tuple[float, ...] = (0.5, 1.0, 2.0)) -> Any:
    return partial(AnchorGenerator, sizes, (ratios,) * len(sizes))


def pool(size: Any = 7, ratio: int = 2, names: tuple[str, ...] = ("0", "1", "2"), **options: Any) -> Any:
    return partial(MultiScaleRoIAlign, list(names), size, ratio, **options)


def single_map(as_dictionary: bool) -> Make:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.out_channels = nn.Conv2d(3, CHANNELS, 8, 8), CHANNELS

        def forward(self, x: Tensor) -> Any:
            features = self.layer(x).relu()
            return {"0": features} if as_dictionary else features

    return lambda: drawn(MaskRCNN(Single(), **small_options(1, ["0"], **mask_options(["0"]))).eval())


class OwnPredictor(nn.Module):
    """Two linear layers of other names than torchvision's, behind a dropout."""

    def __init__(self, predictor: Any) -> None:
        super().__init__()
        self.dropout, self.score, self.box = nn.Dropout(), predictor.cls_score, predictor.bbox_pred

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.dropout(x)
        return self.score(x), self.box(x)


def own_predictor(wrap: Callable[[Any], nn.Module]) -> Make:
    def make() -> Any:
        model = drawn(small_mask_rcnn())
        model.roi_heads.box_predictor = wrap(model.roi_heads.box_predictor).eval()
        return model

    return make


class Derived(MaskRCNN):
    """As people wrap their settings."""

    def __init__(self) -> None:
        super().__init__(small_backbone(), **small_options(**mask_options()))


def put_together() -> Any:
    """A `GeneralizedRCNN` of parts, which is no `FasterRCNN`."""
    whole = drawn(small_faster_rcnn())
    return GeneralizedRCNN(whole.backbone, whole.rpn, whole.roi_heads, whole.transform).eval()


def feature_extractor() -> Any:
    nodes = {f"stages.{level}": str(level) for level in range(3)}
    return drawn(small_mask_rcnn(Pyramid(create_feature_extractor(Body(3), nodes), [8, 16, 24])))


def layer_getter() -> Any:
    body = Body(3)
    layers = nn.Sequential(OrderedDict((f"stage{level}", stage) for level, stage in enumerate(body.stages)))
    getter = IntermediateLayerGetter(layers, {f"stage{level}": str(level) for level in range(3)})
    return drawn(small_mask_rcnn(Pyramid(getter, [8, 16, 24])))


def normed(norm: Any) -> Make:
    return lambda: drawn(small_mask_rcnn(small_backbone(norm=norm)))


def changed(change: Callable[[Any], None]) -> Make:
    def make() -> Any:
        model = drawn(small_mask_rcnn())
        change(model)
        return model

    return make


def many_classes() -> Any:
    box, masks = FastRCNNPredictor(32, 31), MaskRCNNPredictor(CHANNELS, CHANNELS, 31)
    return drawn(small_mask_rcnn(box_predictor=box, mask_predictor=masks))


def reparametrized(change: Callable[[nn.Module], Any]) -> Make:
    """Weights that a hook, or a parametrization, computes of others."""

    def make() -> Any:
        model = drawn(small_mask_rcnn())
        for module in list(model.modules()):
            if isinstance(module, nn.Conv2d):
                change(module)
        return model.eval()

    return make


VARIANTS: dict[str, Make] = {
    "usual": mask(),
    "no masks": lambda: drawn(small_faster_rcnn()),
    "two levels": levels(2),
    "four levels": levels(4),
    "five levels": levels(5),
    "one level of a pyramid": levels(1),
    "a single map": single_map(False),
    "a single map in a dictionary": single_map(True),
    "LastLevelMaxPool": levels(3, LastLevelMaxPool, 4),
    "LastLevelP6P7": levels(3, lambda: LastLevelP6P7(CHANNELS, CHANNELS), 5),
    "RoIs of the finest levels alone": levels(4, pooled=2),
    "RoIs of one level": levels(3, pooled=1),
    "masks of fewer levels": mask(mask_roi_pool=pool(14, names=("0", "1"))),
    "three sizes of anchors a level": mask(rpn_anchor_generator=anchors((16, 20, 25), (32, 40, 50), (64, 80, 100))),
    "one ratio of anchors": mask(rpn_anchor_generator=anchors((16,), (32,), (64,), ratios=(1.0,))),
    "sampling ratio 0": mask(box_roi_pool=pool(ratio=0), mask_roi_pool=pool(14, 0)),
    "sampling ratio -1": mask(box_roi_pool=pool(ratio=-1)),
    "sampling ratio 1": mask(box_roi_pool=pool(ratio=1)),
    "sampling ratio 4": mask(mask_roi_pool=pool(14, 4)),
    "masks of 20 pixels": mask(mask_roi_pool=pool(10)),
    "RoIs that are not square": mask(box_roi_pool=pool((7, 7)), mask_roi_pool=pool((14, 14))),
    "another canonical scale": mask(box_roi_pool=pool(canonical_scale=56)),
    "another canonical level": mask(box_roi_pool=pool(canonical_level=3), mask_roi_pool=pool(14, canonical_level=3)),
    "another mean": mask(image_mean=[0.1, 0.2, 0.3], image_std=[1.0, 0.5, 0.25]),
    "several sizes for training": mask(min_size=(64, 80, 96)),
    "the longer side decides": mask(min_size=96, max_size=100),
    "two convolutions in the RPN": mask(rpn_head=partial(RPNHead, CHANNELS, 3, conv_depth=2)),
    "probable proposals": mask(rpn_score_thresh=0.5),
    "fewer proposals": mask(rpn_pre_nms_top_n_test=17, rpn_post_nms_top_n_test=9),
    "another NMS": mask(rpn_nms_thresh=0.4, box_nms_thresh=0.2),
    "any score": mask(box_score_thresh=0.0),
    "three detections": mask(box_detections_per_img=3),
    "other weights of the box coder": mask(bbox_reg_weights=(5.0, 4.0, 3.0, 2.0)),
    "larger proposals": changed(lambda model: setattr(model.rpn, "min_size", 12.0)),
    "a cut of large boxes": changed(lambda model: setattr(model.roi_heads.box_coder, "bbox_xform_clip", 0.1)),
    "anchors that were set": changed(lambda model: model.rpn.anchor_generator.cell_anchors[1].mul_(1.25)),
    "two classes": mask(
        box_predictor=partial(FastRCNNPredictor, 32, 2), mask_predictor=partial(MaskRCNNPredictor, CHANNELS, 8, 2)
    ),
    "thirty classes": many_classes,
    "masks of more classes": mask(mask_predictor=partial(MaskRCNNPredictor, CHANNELS, CHANNELS, CLASSES + 3)),
    "the box head of v2": mask(
        box_head=partial(FastRCNNConvFCHead, (CHANNELS, 7, 7), [CHANNELS] * 2, [32], norm_layer=nn.BatchNorm2d)
    ),
    "a mask head with norms": mask(mask_head=partial(MaskRCNNHeads, CHANNELS, [CHANNELS] * 3, 1, nn.BatchNorm2d)),
    "a dilated mask head": mask(mask_head=partial(MaskRCNNHeads, CHANNELS, [CHANNELS] * 2, 2)),
    "a predictor of one's own": own_predictor(OwnPredictor),
    "a predictor in a sequence": own_predictor(lambda predictor: nn.Sequential(predictor)),
    "frozen norms": normed(FrozenBatchNorm2d),
    "frozen norms without epsilon": normed(partial(FrozenBatchNorm2d, eps=0.0)),
    "group norms": normed(lambda channels: nn.GroupNorm(4, channels)),
    "no norms": normed(lambda channels: nn.Identity()),
    "a derived class": lambda: drawn(Derived().eval()),
    "a GeneralizedRCNN": put_together,
    "a feature extractor": feature_extractor,
    "an IntermediateLayerGetter": layer_getter,
    "pruned": reparametrized(lambda module: prune.l1_unstructured(module, "weight", 0.3)),
    "weight norm": reparametrized(parametrizations.weight_norm),
    "spectral norm": reparametrized(lambda module: parametrizations.spectral_norm(module)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_graph_finds_what_the_whole_model_finds(variant: str) -> None:
    torch.manual_seed(0)
    model = VARIANTS[variant]()
    source = describe_model(model)
    reference = source.reference()
    pictures = made_up_pictures(source.spec.pipeline.resize, 1.0)
    canvas = reference.preprocess(pictures)
    expected = reference.infer(canvas)
    whole = reference.forward(pictures)
    assert whole is not None
    assert all(torch.equal(a.scores, b.scores) for a, b in zip(whole, expected, strict=True))

    copied = copy.deepcopy(model).train(model.training)
    graph = InferenceGraph(source.spec, source.family.modules(copied), copied).eval()
    rule = source.spec.detection
    thresholds = (torch.full((2, 1), value) for value in (rule.score_threshold, rule.nms_threshold))
    levels = torch.from_numpy(to_levels(canvas, source.spec.normalization))
    with torch.inference_mode():
        outputs = graph(levels, torch.tensor(canvas.image_sizes, dtype=torch.int32), *thresholds)
    candidate = [
        Detections(*(rows[image, :count].numpy() for rows in outputs[1:4]), _masks(outputs, image, count))
        for image, count in enumerate(outputs[0].tolist())
    ]
    differences = verify._compare([verify._of_canvas(each) for each in expected], candidate)
    assert differences.detections >= 5
    assert differences.unmatched == 0, differences
    assert differences.within_tolerance(), differences


def _masks(outputs: tuple[Tensor, ...], image: int, count: int) -> np.ndarray | None:
    return outputs[4][image, :count].numpy() if len(outputs) > 4 else None


class GivesAList(nn.Module):
    out_channels = CHANNELS

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.zeros(1, CHANNELS, 8, 8)]


class Agnostic(FastRCNNPredictor):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = super().forward(x)
        return scores, deltas[:, :4]


class Fails(nn.Module):
    def forward(self, *inputs: Any) -> Any:
        raise KeyError("mine")


def replace_part(name: str, part: Callable[[], Any]) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        parent = model
        *words, last = name.split(".")
        for word in words:
            parent = getattr(parent, word)
        setattr(parent, last, part())

    return change


REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "a list of maps": (
        replace_part("backbone", GivesAList),
        "a backbone that gives a list: expected a feature map",
    ),
    "one box for all classes": (
        replace_part("roi_heads.box_predictor", lambda: Agnostic(32, CLASSES)),
        r"for two RoIs its box_predictor gives \[2, 4\] logits and \[2, 4\] deltas; expected",
    ),
    "one mask for all classes": (
        replace_part("roi_heads.mask_predictor", lambda: MaskRCNNPredictor(CHANNELS, 8, 1)),
        r"its mask_predictor gives masks of the shape \[2, 1, 28, 28\]; expected \[2, L, M, M\] for L = 4 labels",
    ),
    "anchors for other levels": (
        replace_part("rpn.anchor_generator", anchors((16,), (32,))),
        "has anchors for 2 feature maps, but the backbone gives 3: '0', '1', '2'",
    ),
    "other anchors than the head's": (
        replace_part("rpn.anchor_generator", anchors((16,), (32,), (64,), ratios=(1.0,))),
        r"rpn.head gives\s+logits of \[1, 3, .*, but rpn.anchor_generator has 1 anchors for each position",
    ),
    "a head that fails": (replace_part("roi_heads.box_head", Fails), "cannot run this model on RoIs: its box head"),
    "a mask head that fails": (replace_part("roi_heads.mask_head", Fails), "cannot run this model on RoIs: its mask"),
    "an RPN head that fails": (replace_part("rpn.head", Fails), "cannot run this model on its feature maps"),
    "a backbone that fails": (replace_part("backbone", Fails), "cannot run this model on an RGB image"),
    "another RPN": (replace_part("rpn", nn.Identity), "its rpn is a Identity, expected torchvision's RegionProposal"),
    "other RoI heads": (replace_part("roi_heads", nn.Identity), "its roi_heads is a Identity, expected torchvision's"),
    "another transform": (
        replace_part("transform", nn.Identity),
        "its transform is a Identity, expected",
    ),
}


@pytest.mark.parametrize("variant", REFUSED)
def test_what_cannot_be_expressed_is_named(variant: str) -> None:
    change, message = REFUSED[variant]
    model = small_mask_rcnn()
    change(model)
    with pytest.raises(UnsupportedModelError, match=message):
        describe_model(model.eval())


SETTINGS: list[tuple[str, Any, str]] = [
    ("transform.min_size", 640, r"is 640; torchvision takes a tuple of sizes, \(640,\)"),
    ("transform.min_size", (), "takes a tuple of sizes"),
    ("transform.min_size", (640.5,), "expected a whole number"),
    ("transform.max_size", "1333", "expected a finite number"),
    ("transform.max_size", float("inf"), "expected a finite number"),
    ("transform.image_mean", [0.5], "expected 3 numbers"),
    ("transform.image_mean", 0.5, "expected 3 numbers"),
    ("transform.image_std", [1.0, None, 1.0], "expected a finite number"),
    ("rpn.min_size", None, "expected a finite number"),
    ("rpn.score_thresh", float("nan"), "expected a finite number"),
    ("rpn.nms_thresh", "0.7", "expected a finite number"),
    ("rpn.box_coder.weights", (1.0, 1.0), "expected 4 numbers"),
    ("rpn.box_coder.bbox_xform_clip", True, "expected a finite number"),
    ("roi_heads.score_thresh", [0.05], "expected a finite number"),
    ("roi_heads.detections_per_img", 99.5, "expected a whole number"),
    ("roi_heads.box_roi_pool.sampling_ratio", 1.5, "expected a whole number"),
    ("roi_heads.mask_roi_pool.canonical_level", None, "expected a finite number"),
]


@pytest.mark.parametrize(("name", "value", "message"), SETTINGS)
def test_settings_that_are_no_numbers_are_named(name: str, value: Any, message: str) -> None:
    model = small_mask_rcnn()
    replace_part(name, lambda: value)(model)
    with pytest.raises(UnsupportedModelError, match=rf"cannot export this model: its {name} .*{message}"):
        describe_model(model)


BODIES: dict[str, dict[str, str]] = {
    "resnet18": {"layer2": "0", "layer3": "1", "layer4": "2"},
    "resnet152": {"layer2": "0", "layer3": "1", "layer4": "2"},
    "resnext50_32x4d": {"layer2": "0", "layer3": "1", "layer4": "2"},
    "wide_resnet50_2": {"layer2": "0", "layer3": "1", "layer4": "2"},
    "regnet_y_400mf": {
        "trunk_output.block2": "0",
        "trunk_output.block3": "1",
        "trunk_output.block4": "2",
    },
    "efficientnet_b0": {"features.3": "0", "features.5": "1", "features.7": "2"},
    "mobilenet_v2": {"features.6": "0", "features.13": "1", "features.18": "2"},
    "mobilenet_v3_small": {"features.3": "0", "features.8": "1", "features.12": "2"},
    "convnext_tiny": {"features.3": "0", "features.5": "1", "features.7": "2"},
    "densenet121": {"features.denseblock2": "0", "features.denseblock3": "1", "features.norm5": "2"},
}
"""torchvision's classifiers, and their feature maps of stride 8, 16 and 32."""


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_the_file_equals_a_model_with_a_backbone_of(name: str, tmp_path: Any) -> None:
    torch.manual_seed(0)
    # A ResNet keeps its blocks, by which weights are drawn that do not double rounding errors from one to the next.
    getter = IntermediateLayerGetter if "layer2" in BODIES[name] else create_feature_extractor
    body: nn.Module = getter(get_model(name, weights=None).eval(), BODIES[name])
    with torch.no_grad():
        channels = [feature.shape[1] for feature in body.eval()(torch.zeros(1, 3, 64, 64)).values()]
    model = drawn(small_mask_rcnn(Pyramid(body, channels)))
    file = export_onnx(model, tmp_path / "model.onnx", verify=False)
    assert verify.verify_onnx(model, file).detections > 10


def test_a_model_without_masks_is_called_faster_rcnn() -> None:
    assert describe_model(small_faster_rcnn()).spec.family == "torchvision.FasterRCNN"
    assert isinstance(small_faster_rcnn(), FasterRCNN)
