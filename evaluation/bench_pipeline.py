"""The whole pipeline on the CPU: maskrt's runtime against torchvision in eager mode.

    python -m maskrt.evaluation.bench_pipeline --model maskrcnn_resnet50_fpn

Both sides take a photograph as a uint8 RGB array and give boxes, scores, labels and boolean masks of the photograph's
size. They are timed in turns in one run, on the same number of threads; the figure is the ratio. The weights are drawn
so that every image has all the detections it may have, the most work for both.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from maskrt.evaluation.drawn_weights import draw_weights
from maskrt.evaluation.timing import ratio, seconds_in_turns
from maskrt.export import export_onnx
from maskrt.export.sources import BUILDERS
from maskrt.runtime import Segmenter
from maskrt.shapes.backgrounds import photograph


@torch.inference_mode()
def run_torchvision(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """Boolean masks `[N,H,W]` of torchvision's own inference on `[H,W,3]` uint8 RGB."""
    (output,) = model([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
    return (output["masks"][:, 0] > 0.5).numpy()


def run_maskrt(segmenter: Segmenter, image: np.ndarray) -> np.ndarray:
    """The same of the runtime."""
    return segmenter.predict(image).masks()


def main() -> None:
    """Print medians of both sides and the ratio with its spread."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--model", choices=[n for n in BUILDERS if n.startswith("mask")], default="maskrcnn_resnet50_fpn"
    )
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=(800, 1333))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)

    height, width = options.size
    image = cv2.resize(np.ascontiguousarray(photograph("china.jpg")), (width, height), interpolation=cv2.INTER_CUBIC)
    model = BUILDERS[options.model](weights=None, weights_backbone=None)
    draw_weights(model, [torch.from_numpy(image).permute(2, 0, 1).float() / 255])
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(model, Path(folder) / "model.onnx")
        segmenter = Segmenter(path, threads=options.threads)
        found = len(run_torchvision(model, image)), len(run_maskrt(segmenter, image))
        times = seconds_in_turns(
            (partial(run_torchvision, model, image), partial(run_maskrt, segmenter, image)), options.repeats
        )
    slow, fast = np.median(times, axis=0)
    print(f"{options.model}, {height}x{width}, batch 1, {options.threads} threads, {options.repeats} repeats")
    print(f"torchvision eager  {1 / slow:.3f} images/s, {found[0]} detections")
    print(f"maskrt             {1 / fast:.3f} images/s, {found[1]} detections")
    print(f"ratio              {ratio(*times.T)}")


if __name__ == "__main__":
    main()
