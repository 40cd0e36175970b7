"""`export_onnx`: a Faster, Mask or Keypoint R-CNN becomes one ONNX file."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TextIO

import onnx
import torch
from torch import nn

from maskrt import __version__
from maskrt.contract.metadata import Meaning, ModelMetadata, Output, RangeError, parse_metadata
from maskrt.contract.precision import SOURCE_PRECISION
from maskrt.contract.seal import sealed
from maskrt.contract.tensors import DETECTION_OUTPUTS, DOMAIN, IMAGE_TYPES, INPUTS, KEYPOINTS, LIMITS, MASKS
from maskrt.errors import ArgumentError
from maskrt.export.class_names import BACKGROUND, fit_class_names
from maskrt.export.errors import UnsupportedModelError, first_line
from maskrt.export.families.base import family_of
from maskrt.export.fold import fold_batch_norms
from maskrt.export.ops import OPSET
from maskrt.export.ops.detections import detection_output_function
from maskrt.export.ops.keypoints import decode_keypoints_function
from maskrt.export.ops.nms import batched_nms_function
from maskrt.export.ops.proposals import generate_proposals_function
from maskrt.export.ops.roi_align import multilevel_roi_align_function
from maskrt.export.prepare import check_evaluation_mode, copy_in_fp32, unwrap_model
from maskrt.export.rcnn.graph import InferenceGraph
from maskrt.export.rcnn.modules import RcnnModules
from maskrt.export.rcnn.pooling import GraphPooling
from maskrt.export.rcnn.spec import ModelSpec
from maskrt.export.verify import require_onnxruntime, verify_onnx
from maskrt.files import remove_stale, temporary_folder, write_in_one_step

# Height and width: any two different multiples of 32 large enough that no level of the pyramid is empty.
_SAMPLE_SIZE = (320, 416)

_MEANINGS: Mapping[str, Meaning] = {MASKS: "mask_probabilities", KEYPOINTS: "keypoints"}
"""Of the outputs beside the detections, in the order of the graph."""


def export_onnx(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    input_type: Literal["uint8", "float32"] = "uint8",
    verify: bool = True,
    stream: TextIO | None = None,
) -> Path:
    """Export a model of one of the `families`, in evaluation mode, to `path`.

    The file states the whole inference: normalisation, backbone, proposals, detection, masks, keypoints. Batch, height
    and width are dynamic, thresholds are inputs, and the same model gives the same bytes. See `export.rcnn.graph` for
    inputs and outputs. The model itself is left as it is. The file takes its name once it has been compared with the
    model, in ONNX Runtime, on pictures from their files' size to masks in them (`export.verify`).

    Args:
        model: the source model, alone or within `DataParallel`, `torch.compile` and the like; batch normalisation is
            folded into the convolutions.
        path: the file to write, `.onnx`; its folder must exist.
        class_names: one per label, index 0 being the background; by default the model's `class_names` attribute, or
            `class_1`, `class_2`, ….
        input_type: type of the `images` input. `uint8` rounds the resized pixel; `float32` is exact.
        verify: whether the file is compared with the model. If not, its metadata say that it is unverified.
        stream: for what the comparison finds.

    Raises:
        UnsupportedModelError: the model has a part that cannot be expressed; the message names it.
        MismatchError: the file does not give what the model gives.
        ArgumentError: `class_names` do not fit the model, `input_type` is unknown, or `path` is no `.onnx`.
        DependencyError: ONNX Runtime is not installed, which the comparison needs.
        OSError: the file cannot be written.
    """
    target = Path(path)
    if input_type not in IMAGE_TYPES:
        raise ArgumentError(f"input_type must be one of {', '.join(IMAGE_TYPES)}, but got {input_type!r}")
    if target.suffix != ".onnx":
        raise ArgumentError(f"cannot write {target}: the runtime opens ONNX files by their suffix; name it .onnx")
    if verify:
        require_onnxruntime()
    remove_stale(target.parent)
    model = unwrap_model(model)
    family = family_of(model)
    weights = weights_hash(model)
    copied = copy_in_fp32(model)
    spec = family.spec(copied)
    check_evaluation_mode(model)
    metadata = _metadata(spec, _class_names(model, spec, class_names), weights, verify)
    _check_range(metadata)
    with torch.no_grad():
        _fold(copied, spec, family.modules(copied))
        graph = InferenceGraph(spec, family.modules(copied), copied).eval()
        proto = _to_onnx(graph, spec, getattr(torch, input_type))
    keypoint_names = () if spec.keypoint_head is None else spec.keypoint_head.names
    metadata = replace(metadata, outputs=_outputs(proto), keypoint_names=keypoint_names)
    _finish(proto, graph, metadata)
    onnx.checker.check_model(proto, full_check=True)
    content = sealed(proto.SerializeToString(deterministic=True))
    if not verify:
        write_in_one_step(target, content)
        return target
    with temporary_folder(target.parent) as folder:
        unverified = folder / "unverified.onnx"
        unverified.write_bytes(content)
        if stream is not None:
            print("Comparing with PyTorch", file=stream, flush=True)
        differences = verify_onnx(model if _is_fp32_on_cpu(model) else copy_in_fp32(model), unverified)
        if stream is not None:
            print(f"  {differences}", file=stream, flush=True)
        unverified.replace(target)
    return target


def _is_fp32_on_cpu(model: nn.Module) -> bool:
    return all(
        tensor.device.type == "cpu" and (tensor.dtype == torch.float32 or not tensor.is_floating_point())
        for tensor in (*model.parameters(), *model.buffers())
    )


def _check_range(metadata: ModelMetadata) -> None:
    """Check that the runtime takes what the file will say.

    Raises:
        UnsupportedModelError: a number is outside of what it takes.
    """
    try:
        parse_metadata(metadata.to_properties(), "the model")
    except RangeError as error:
        raise UnsupportedModelError(
            f"cannot export this model: its {error.key.rpartition('.')[2]} is {error.value}; expected {error.least} to "
            f"{error.most}"
        ) from error


def _class_names(model: nn.Module, spec: ModelSpec, given: Sequence[str] | None) -> tuple[str, ...]:
    count = spec.detection.num_labels
    if given is not None:
        return fit_class_names(given, count, "got")
    own = getattr(model, "class_names", None)
    if own:
        return fit_class_names(own, count, "the model's class_names has")
    return (BACKGROUND, *(f"class_{label}" for label in range(1, count)))


def weights_hash(model: nn.Module) -> str:
    """Hash the names, types, shapes and values of all weights (SHA-256): `weights_sha256` in the file's metadata."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + str(tensor.dtype).encode() + str(tuple(tensor.shape)).encode())
        # As bytes, because NumPy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _fold(model: nn.Module, spec: ModelSpec, modules: RcnnModules) -> None:
    """Fold batch normalisation into convolutions, in place."""

    def run() -> None:
        features = modules.backbone(torch.zeros(1, 3, *_SAMPLE_SIZE))
        rois = torch.tensor([[[0.0, 0.0, 100.0, 100.0]]])
        for of_boxes, box_module in zip(spec.box_heads, modules.box_heads, strict=True):
            box_module(GraphPooling.of(of_boxes.pooling)(features, rois))
        for mask_module in modules.mask_heads:
            assert spec.mask_head is not None
            mask_module(GraphPooling.of(spec.mask_head.pooling)(features, rois))
        if modules.keypoint_head is not None:
            assert spec.keypoint_head is not None
            modules.keypoint_head(GraphPooling.of(spec.keypoint_head.pooling)(features, rois))

    fold_batch_norms(model, run)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's warnings, which are about its own working."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _to_onnx(graph: InferenceGraph, spec: ModelSpec, images_dtype: torch.dtype) -> onnx.ModelProto:
    height, width = _SAMPLE_SIZE
    inputs = (
        torch.zeros(2, height, width, 3, dtype=images_dtype),
        torch.tensor([[height, width], [height - 5, width - 7]], dtype=torch.int32),
        torch.full((2, 1), 0.05),
        torch.full((2, 1), 0.5),
    )
    batch = torch.export.Dim("batch", min=1, max=LIMITS[0])
    divisor = spec.pipeline.size_divisor
    canvas = {
        axis: divisor * torch.export.Dim(name, min=1, max=LIMITS[axis] // divisor)
        for axis, name in ((1, "rows"), (2, "columns"))
    }
    heads = {MASKS: spec.mask_head, KEYPOINTS: spec.keypoint_head}
    outputs = [*DETECTION_OUTPUTS, *(name for name, head in heads.items() if head is not None)]
    try:
        with _quietly():
            program = torch.onnx.export(
                graph,
                inputs,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(INPUTS),
                output_names=outputs,
                dynamic_shapes=({0: batch, **canvas}, {0: batch}, {0: batch}, {0: batch}),
                external_data=False,
            )
    except torch.onnx.OnnxExporterError as error:
        cause = first_line(error.__cause__ or error)
        raise UnsupportedModelError(f"PyTorch cannot export this model to ONNX: {cause}") from error
    assert program is not None
    return program.model_proto


def _outputs(proto: onnx.ModelProto) -> tuple[Output, ...]:
    """Declare what a graph gives beside the detections.

    Raises:
        UnsupportedModelError: its masks are not square.
    """
    outputs = tuple(
        Output(value.name, _MEANINGS[value.name], tuple(d.dim_value for d in value.type.tensor_type.shape.dim[2:]))
        for value in proto.graph.output
        if value.name in _MEANINGS
    )
    for output in outputs:
        if output.meaning == "mask_probabilities" and len(set(output.shape)) != 1:
            raise UnsupportedModelError(
                f"cannot export this model: its masks are of {' x '.join(map(str, output.shape))} pixels; expected as "
                "many rows as columns"
            )
    return outputs


def _metadata(spec: ModelSpec, class_names: tuple[str, ...], weights: str, verified: bool) -> ModelMetadata:
    return ModelMetadata(
        version=__version__,
        model_family=spec.family,
        class_names=class_names,
        pipeline=spec.pipeline,
        outputs=(),
        image_mean=spec.normalization.mean,
        image_std=spec.normalization.std,
        score_threshold=spec.detection.score_threshold,
        nms_threshold=spec.detection.nms_threshold,
        detections_per_image=spec.detection.max_detections,
        weights_sha256=weights,
        precision=SOURCE_PRECISION,
        verified=verified,
    )


def _finish(proto: onnx.ModelProto, graph: InferenceGraph, metadata: ModelMetadata) -> None:
    """Add the functions and the metadata; remove what names the machine that exported."""
    proto.producer_name, proto.producer_version = "maskrt", __version__
    proto.doc_string = proto.graph.doc_string = ""
    proto.graph.name = "maskrt"
    del proto.graph.metadata_props[:]
    del proto.metadata_props[:]
    for item in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for initializer in proto.graph.initializer:
        initializer.doc_string = ""
        del initializer.metadata_props[:]
    del proto.functions[:]
    proto.functions.append(batched_nms_function())
    proto.functions.append(generate_proposals_function(graph.proposal_attributes))
    proto.functions.append(detection_output_function(graph.detection_attributes))
    proto.functions.append(multilevel_roi_align_function(graph.pooled_levels, maxima=graph.maxima))
    if metadata.keypoint_names:
        proto.functions.append(decode_keypoints_function())
    imported = {entry.domain: entry for entry in proto.opset_import}
    for domain in set(imported) - {"", DOMAIN}:
        proto.opset_import.remove(imported[domain])
    if DOMAIN not in imported:
        proto.opset_import.add(domain=DOMAIN, version=1)
    onnx.helper.set_model_props(proto, metadata.to_properties())
