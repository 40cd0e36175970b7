r"""Images for NVIDIA's Polygraphy: a data loader script for `polygraphy run` and `polygraphy debug`.

    export MASKRT_MODEL=model.onnx MASKRT_IMAGES=photos/
    polygraphy run model.onnx --onnxrt --data-loader-script polygraphy_data.py
    polygraphy run model.onnx --onnxrt --trt --plugins libmaskrt_plugins.so --data-loader-script polygraphy_data.py
    polygraphy debug repeat --until=1 --check \
        polygraphy run model.onnx --onnxrt --data-loader-script polygraphy_data.py --onnx-outputs conv2d_23

`--onnx-outputs` takes ONNX tensors, which `maskrt compare` names. Polygraphy passes a script no arguments,
hence the environment: `MASKRT_MODEL` is the model file, whose metadata say sizes and thresholds; `MASKRT_IMAGES` is an
image, a folder, or a glob; `MASKRT_LIMIT` is how many images at the most, the first ones (default: 4).
Each image is one iteration with batch size 1.
"""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from maskrt.contract.metadata import parse_metadata
from maskrt.contract.seal import read_metadata_properties
from maskrt.contract.tensors import IMAGES, make_feed
from maskrt.errors import ArgumentError
from maskrt.options import positive
from maskrt.runtime import read_image
from maskrt.runtime.inference.find import find_images
from maskrt.runtime.transforms.canvas import make_batch


def load_data() -> Iterator[dict[str, np.ndarray]]:
    """Yield the inputs of the model for each image; see `maskrt.export.rcnn.graph.InferenceGraph`.

    Raises:
        MaskrtError: the environment names no model or no images, or what it names cannot be read.
    """
    path = Path(_variable("MASKRT_MODEL", "the ONNX file that Polygraphy runs"))
    metadata = parse_metadata(read_metadata_properties(path), str(path))
    graph = onnx.load(path, load_external_data=False).graph
    (images,) = (value for value in graph.input if value.name == IMAGES)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(images.type.tensor_type.elem_type))
    for file in _files():
        image = read_image(file)
        batch = make_batch([image], metadata.pipeline, dtype)
        yield make_feed(batch.canvas, batch.image_sizes, metadata.score_threshold, metadata.nms_threshold)


def _variable(name: str, what: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ArgumentError(f"Set {name} to {what}.")
    return value


def _files() -> list[Path]:
    try:
        limit = positive(os.environ.get("MASKRT_LIMIT", "4"))
    except ArgumentTypeError as error:
        raise ArgumentError(f"MASKRT_LIMIT: {error}.") from None
    files, problems = find_images([_variable("MASKRT_IMAGES", "an image, a folder of images, or a glob")])
    if problems:
        raise ArgumentError(problems[0])
    return files[:limit]
