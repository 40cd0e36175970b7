"""Runners for NVIDIA's Polygraphy that take pictures: a source model in its own framework, and a model file beside it.

    from polygraphy.comparator import Comparator, CompareFunc

    runners = [SourceRunner(load_source(SourceOptions("epoch_12.pth"))), FileRunner("model.onnx")]
    results = Comparator.run(runners, data_loader=[{PICTURE: read_image("street.jpg")}])
    Comparator.compare_accuracy(results, compare_func=CompareFunc.simple(atol=0.05))

Both find what is in the picture, from its pixels on: `boxes` `[N, 4]` float32 xyxy in its pixels, `scores` `[N]`
float32, `labels` `[N]` int64 and, with a mask head, `masks` `[N, H, W]` uint8, the best score first. `maskrt compare`
says more: it pairs detections, and looks at the tensors in between.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from polygraphy.backend.base import BaseRunner
from polygraphy.common import TensorMetadata

from maskrt.export.families.base import SourceModel
from maskrt.export.reference import Reference
from maskrt.runtime import Segmenter

PICTURE = "picture"
"""The name of the only input: a picture `[H, W, 3]` uint8 RGB."""


class _PictureRunner(BaseRunner):
    """What both have in common; a subclass finds what is in a picture."""

    def get_input_metadata_impl(self) -> TensorMetadata:
        """See `BaseRunner`."""
        return TensorMetadata().add(PICTURE, np.uint8, (None, None, 3))

    def infer_impl(self, feed_dict: Mapping[str, np.ndarray]) -> OrderedDict[str, np.ndarray]:
        """See `BaseRunner`."""
        start = time.perf_counter()
        boxes, scores, labels, masks = self._find(feed_dict[PICTURE])
        self.inference_time = time.perf_counter() - start
        outputs = OrderedDict(boxes=boxes, scores=scores, labels=labels.astype(np.int64))
        if masks is not None:
            outputs["masks"] = masks.astype(np.uint8)
        return outputs

    def _find(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return boxes, scores, labels and masks."""
        raise NotImplementedError


class SourceRunner(_PictureRunner):
    """A source model: in its own framework where that is installed, else its spec in PyTorch; see `Reference`.

    Args:
        source: the model.
        device: where it runs.
    """

    def __init__(self, source: SourceModel, device: str | torch.device = "cpu") -> None:
        super().__init__(prefix="source")
        self._source, self._device = source, device
        self._reference: Reference | None = None

    def activate_impl(self) -> None:
        """See `BaseRunner`."""
        self._reference = self._source.reference(device=self._device)

    def deactivate_impl(self) -> None:
        """See `BaseRunner`."""
        self._reference = None

    @property
    def remark(self) -> str:
        """See `Reference.remark`; while the runner is active."""
        assert self._reference is not None
        return self._reference.remark

    def _find(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        assert self._reference is not None
        found = self._reference.detect(picture)
        masks = None if found.masks is None else found.masks.cpu().numpy()
        boxes, scores, labels = (values.cpu().numpy() for values in (found.boxes, found.scores, found.labels))
        return boxes, scores, labels, masks


class FileRunner(_PictureRunner):
    """A model file in the runtime: `.onnx`, or an engine; see `Segmenter`.

    Args:
        path: the file.
        threads: CPU threads; None: one per core.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        super().__init__(prefix=Path(path).name)
        self._path, self._threads = Path(path), threads
        self._segmenter: Segmenter | None = None

    def activate_impl(self) -> None:
        """See `BaseRunner`."""
        self._segmenter = Segmenter(self._path, threads=self._threads)

    def deactivate_impl(self) -> None:
        """See `BaseRunner`."""
        self._segmenter = None

    def _find(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        assert self._segmenter is not None
        found = self._segmenter.predict(picture)
        return found.boxes, found.scores, found.labels, found.masks() if found.has_masks else None
