"""A model small enough to build in a test: it finds the same three objects in every image."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .model_metadata import properties

CLASS_NAMES = ["__background__", "disk", "star", "größe"]
# Three detections with boxes as fractions of the image (x1, y1, x2, y2), best score first.
BOXES = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]], dtype=np.float32)
SCORES = np.array([0.9, 0.6, 0.3], dtype=np.float32)
LABELS = np.array([1, 2, 3], dtype=np.int32)


KEYPOINT_NAMES = ("nose", "left_eye", "tail")
# As fractions of the image, with a score: of each of the three detections.
KEYPOINTS = np.array(
    [
        [[0.2, 0.2, 3.5], [0.4, 0.2, 1.0], [0.3, 0.5, -2.0]],
        [[0.5, 0.4, 0.25], [0.8, 0.4, 0.5], [0.7, 0.8, 0.75]],
        [[0.1, 0.9, 8.0], [0.9, 0.9, 7.0], [0.5, 0.1, 6.0]],
    ],
    dtype=np.float32,
)


def build_model(
    input_type: int, with_masks: bool, metadata: dict[str, Any], *, with_keypoints: bool = False
) -> onnx.ModelProto:
    count = len(SCORES)
    y, x = np.mgrid[-13.5:14, -13.5:14]
    disk = (1 / (1 + np.exp(np.hypot(x, y) - 12))).astype(np.float32)
    constants = {
        "box_fractions": BOXES[None],
        "all_scores": SCORES[None],
        "all_labels": LABELS[None],
        "all_masks": np.broadcast_to(disk, (1, count, 28, 28)).copy(),
        "xyxy": np.array([1, 0, 1, 0]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "ones": np.array([1, 1]),
    }
    nodes = [
        helper.make_node("Shape", ["images"], ["batch"], start=0, end=1),
        helper.make_node("Cast", ["image_sizes"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["sizes", "xyxy"], ["corners"], axis=1),
        helper.make_node("Unsqueeze", ["corners", "one"], ["corners_3d"]),
        helper.make_node("Mul", ["box_fractions", "corners_3d"], ["boxes"]),
        helper.make_node("Concat", ["batch", "one"], ["repeat_2d"], axis=0),
        helper.make_node("Expand", ["all_scores", "repeat_2d"], ["scores"]),
        helper.make_node("Expand", ["all_labels", "repeat_2d"], ["labels"]),
        helper.make_node("Greater", ["scores", "score_threshold"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["kept_int"], to=TensorProto.INT32),
        helper.make_node("ReduceSum", ["kept_int", "one"], ["num_detections"], keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("num_detections", TensorProto.INT32, ["B"]),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["B", count, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", count]),
        helper.make_tensor_value_info("labels", TensorProto.INT32, ["B", count]),
    ]
    if with_masks:
        nodes += [
            helper.make_node("Concat", ["batch", "one", "ones"], ["repeat_4d"], axis=0),
            helper.make_node("Expand", ["all_masks", "repeat_4d"], ["masks"]),
        ]
        outputs.append(helper.make_tensor_value_info("masks", TensorProto.FLOAT, ["B", count, 28, 28]))
    if with_keypoints:
        constants |= {"keypoint_fractions": KEYPOINTS[None], "xy1": np.array([1, 0, 2]), "ones_2d": np.array([1, 2])}
        constants["score_scale"] = np.ones((1, 1), np.float32)
        nodes += [
            helper.make_node("Concat", ["batch", "one"], ["column"], axis=0),
            helper.make_node("Expand", ["score_scale", "column"], ["score_scales"]),
            helper.make_node("Concat", ["sizes", "score_scales"], ["sizes_1"], axis=1),
            helper.make_node("Gather", ["sizes_1", "xy1"], ["scales"], axis=1),
            helper.make_node("Unsqueeze", ["scales", "ones_2d"], ["scales_4d"]),
            helper.make_node("Mul", ["keypoint_fractions", "scales_4d"], ["keypoints"]),
        ]
        outputs.append(helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, ["B", count, 3, 3]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("images", input_type, ["B", "H", "W", 3]),
            helper.make_tensor_value_info("image_sizes", TensorProto.INT32, ["B", 2]),
            helper.make_tensor_value_info("score_threshold", TensorProto.FLOAT, ["B", 1]),
            helper.make_tensor_value_info("nms_threshold", TensorProto.FLOAT, ["B", 1]),
        ],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    values = {
        "model_family": "torchvision.MaskRCNN" if with_masks else "torchvision.FasterRCNN",
        "class_names": CLASS_NAMES,
        "detections_per_image": count,
        "outputs": [
            *([{"name": "masks", "meaning": "mask_probabilities", "shape": [28, 28]}] if with_masks else []),
            *([{"name": "keypoints", "meaning": "keypoints", "shape": [3, 3]}] if with_keypoints else []),
        ],
        **({"keypoint_names": list(KEYPOINT_NAMES)} if with_keypoints else {}),
        **metadata,
    }
    helper.set_model_props(model, properties(**values))
    return model
