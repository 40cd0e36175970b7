"""`make demo`: from the PyTorch model to pictures with the shapes found in them, and the figures beside PyTorch's."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskrt.evaluation.metrics.coco import average_precision
from maskrt.evaluation.torch_results import torch_results
from maskrt.export.exporter import export_onnx
from maskrt.export.verify import verify_onnx
from maskrt.runtime import MaskrtError, Segmenter, infer
from maskrt.shapes.backgrounds import photograph
from maskrt.shapes.dataset import ground_truth, write_png
from maskrt.shapes.model import shapes_model
from maskrt.shapes.score import held_out_images

_SCENES = 24
_PHOTOGRAPHS = ("coins", "coffee")
"""Photographs no training scene shows; coins are disks, a cup on its saucer nearly so."""


def write_pictures(folder: Path, scenes: Sequence[tuple[np.ndarray, int]]) -> None:
    """Writes the demo's pictures: scenes, each with its id, and photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [(f"scene-{image_id:03d}.png", image) for image, image_id in scenes]
    pictures += [(f"photo-{name}.png", photograph(name)) for name in _PHOTOGRAPHS]
    for name, image in pictures:
        write_png(folder / name, image)


def run(output: Path) -> None:
    """Exports the demo model, segments the pictures, scores both sides, and prints where everything is."""
    output.mkdir(parents=True, exist_ok=True)
    model, onnx_path = shapes_model(), output / "model.onnx"
    print("1. Exporting the demo model and comparing it with PyTorch")
    export_onnx(model, onnx_path, input_type="float32")  # so that the figures can be compared to the last digit
    print(f"   {verify_onnx(model, onnx_path)}")

    print("2. Segmenting held-out scenes and photographs")
    scenes = list(held_out_images(_SCENES))
    write_pictures(output / "images", scenes)
    code = infer.main([str(onnx_path), str(output / "images"), "--output", str(output), "--score-threshold", "0.5"])
    if code:
        raise MaskrtError(f"segmenting failed with the exit code {code}")

    print(f"3. Scoring {_SCENES} held-out scenes")
    truth, segmenter = ground_truth(_SCENES), Segmenter(onnx_path)
    sides = {
        "PyTorch": lambda image, image_id: torch_results(model, image, image_id),
        "maskrt": lambda image, image_id: segmenter.predict(image).to_coco(image_id),
    }
    print("              box AP   mask AP   ms/image")
    for name, predict in sides.items():
        started = time.perf_counter()
        results = [record for image, image_id in scenes for record in predict(image, image_id)]
        milliseconds = (time.perf_counter() - started) / _SCENES * 1000
        box, mask = (average_precision(truth, results, kind).overall["AP"] for kind in ("bbox", "segm"))
        print(f"   {name:9} {box:8.4f} {mask:9.4f} {milliseconds:10.0f}")
    print(f"\nmodel     {onnx_path}\noverlays  {output / 'overlays'}\nresults   {output / 'instances.json'}")


def main() -> int:
    """Command line of `make demo`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out/demo"))
    try:
        run(parser.parse_args().output)
    except (MaskrtError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
