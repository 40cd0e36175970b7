import onnx
import pytest

from maskrt.calibration.fp16 import convert_to_fp16
from maskrt.evaluation.compare.points import expose, find_points, forced_rois
from maskrt.runtime import ModelError


def test_points_of_the_demo_model(shapes_onnx):
    """Of the four levels that RoIAlign reads, the heads, and pooling; shared layers by the number of their call."""
    points = find_points(onnx.load(shapes_onnx).graph)
    chosen = [point.name for point in points.network if point.chosen]
    assert chosen == [
        *(f"backbone.fpn.layer_blocks.{level}.0" for level in (3, 2, 1, 0)),
        *(f"rpn.head.{head}[{level}]" for level in range(5) for head in ("cls_logits", "bbox_pred")),
        "RoIAlign of proposals",
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
        "RoIAlign of detections",
        "roi_heads.mask_predictor.mask_fcn_logits",
    ]
    poolings = {point.name: point.pooling for point in points.network}
    assert poolings["rpn.head.conv.0.0[4]"] is None
    assert poolings["roi_heads.box_head.fc7"] == poolings["RoIAlign of proposals"] == 0
    assert poolings["roi_heads.mask_head.3.0"] == poolings["RoIAlign of detections"] == 1
    assert points.capacities == (256, 40)


def test_a_cascade_with_two_heads_on_its_detections():
    """Each layer has the rows of the RoIAlign that it reads from, in whatever order the graph lists them."""

    def node(kind, inputs, output, **attributes):
        return onnx.helper.make_node(kind, inputs, [output], **attributes)

    nodes = [
        node("GenerateProposals", ["anchors"], "proposals", post_nms_top_k=100),
        node("MultilevelRoIAlign", ["proposals", "p2"], "pooled_0"),
        node("Gemm", ["pooled_0", "box.0.weight"], "boxes_0"),
        node("MultilevelRoIAlign", ["boxes_0", "p2"], "pooled_1"),
        node("Gemm", ["pooled_1", "box.1.weight"], "boxes_1"),
        node("DetectionOutput", ["boxes_1"], "detections", max_detections=10),
        node("MultilevelRoIAlign", ["detections", "p2"], "pooled_2"),
        node("MultilevelRoIAlign", ["detections", "p2"], "pooled_3"),
        node("Conv", ["pooled_2", "mask.weight"], "masks"),
        node("Conv", ["pooled_3", "keypoint.weight"], "keypoints"),
    ]
    points = find_points(onnx.helper.make_graph(nodes, "cascade", [], []))
    assert points.capacities == (100, 100, 10, 10)
    assert {point.name: (point.module, point.pooling) for point in points.network} == {
        "RoIAlign of proposals[0]": (None, 0),
        "box.0": ("box.0", 0),
        "RoIAlign of proposals[1]": (None, 1),
        "box.1": ("box.1", 1),
        "RoIAlign of detections[0]": (None, 2),
        "RoIAlign of detections[1]": (None, 3),
        "mask": ("mask", 2),
        "keypoint": ("keypoint", 3),
    }


def test_what_a_point_depends_on(shapes_onnx):
    """Not on the RPN, where RoIs are given; not on finer levels, where the pyramid goes from coarse to fine."""
    points = {point.name: point for point in find_points(onnx.load(shapes_onnx).graph).network}
    pooled = points["RoIAlign of proposals"].upstream
    assert {"backbone.body.conv1", "backbone.fpn.layer_blocks.0.0", "RoIAlign of proposals"} <= pooled
    assert not any(name.startswith("rpn.") for name in pooled)
    coarse = points["backbone.fpn.layer_blocks.2.0"].upstream
    assert "backbone.body.layer4.0.conv2" in coarse
    assert "backbone.fpn.inner_blocks.0.0" not in coarse
    assert "backbone.fpn.layer_blocks.3.0" not in coarse
    assert points["roi_heads.mask_head.0.0"].upstream == points["RoIAlign of detections"].upstream | {
        "roi_heads.mask_head.0.0"
    }


def test_points_are_the_same_at_every_precision(shapes_onnx):
    model = onnx.load(shapes_onnx)
    quantized = onnx.load(shapes_onnx)
    dequantize = onnx.helper.make_node(
        "DequantizeLinear", ["backbone.body.conv1.weight_quantized", "scale"], ["dequantized"]
    )
    quantized.graph.node.insert(0, dequantize)
    layer = next(node for node in quantized.graph.node if node.op_type == "Conv")
    layer.input[1] = "dequantized"
    expected = find_points(model.graph)
    assert find_points(convert_to_fp16(model).graph) == expected
    assert find_points(quantized.graph) == expected


def test_the_copy_shows_tensors_and_takes_rois(shapes_onnx):
    model = onnx.load(shapes_onnx)
    points = find_points(model.graph)
    copy = expose(model, [points.network[3].tensor, points.proposals])
    assert [value.name for value in copy.graph.output] == [points.network[3].tensor, points.proposals]
    pools = [node.input[0] for node in copy.graph.node if node.op_type == "MultilevelRoIAlign"]
    assert pools == [forced_rois(0), forced_rois(1)] == [value.name for value in copy.graph.input][-2:]
    assert len(model.graph.output) == 5


def test_a_graph_of_someone_else(shapes_onnx):
    model = onnx.load(shapes_onnx)
    del model.graph.node[-400:]
    with pytest.raises(ModelError, match="has no RoIAlign, proposals and detections"):
        find_points(model.graph)
