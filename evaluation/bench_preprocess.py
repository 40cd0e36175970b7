"""Preprocessing on the CPU: maskrt's runtime against torchvision's transform.

    python -m maskrt.evaluation.bench_preprocess

From a uint8 RGB image to the tensor that the model takes: torchvision scales to 0-1, normalises, resizes and
pads in float32; maskrt resizes and pads (the model file normalises). Both are timed in turns in one run; the
figure is the ratio.
"""

import argparse
from functools import partial

import cv2
import numpy as np
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms.functional import to_tensor

from maskrt.evaluation.timing import ratio, seconds_in_turns
from maskrt.runtime.metadata import ModelMetadata
from maskrt.runtime.preprocess import make_batch

IMAGE_SIZES = {"480p": (480, 640), "1080p": (1080, 1920), "4K": (2160, 3840)}


def main() -> None:
    """Print medians of both sides and the ratios with their spread."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV (default: 1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)

    metadata = ModelMetadata(
        version="",
        model_family="",
        class_names=("__background__", "object"),
        min_size=800,
        max_size=1333,
        size_divisor=32,
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=100,
        weights_sha256="",
        precision="fp32",
    )
    transform = GeneralizedRCNNTransform(800, 1333, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).eval()

    print(f"preprocessing to 800x1333, {options.repeats} repeats, {options.threads} thread(s)")
    print(f"{'image':<6} {'torchvision':>12} {'maskrt uint8':>14} {'maskrt float32':>15}  ratio (least to most)")
    for name, size in IMAGE_SIZES.items():
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        sides = (
            partial(torchvision_preprocess, transform, image),
            partial(make_batch, [image], metadata, np.dtype(np.uint8)),
            partial(make_batch, [image], metadata, np.dtype(np.float32)),
        )
        times = seconds_in_turns(sides, options.repeats)
        reference, rounded, exact = 1000 * np.median(times, axis=0)
        print(
            f"{name:<6} {reference:>9.1f} ms {rounded:>11.1f} ms {exact:>12.1f} ms  "
            f"uint8 {ratio(times[:, 0], times[:, 1])}, float32 {ratio(times[:, 0], times[:, 2])}"
        )


def torchvision_preprocess(transform: GeneralizedRCNNTransform, image: np.ndarray) -> torch.Tensor:
    """What the first lines of a torchvision pipeline do."""
    images, _ = transform([to_tensor(image)])
    return images.tensors


if __name__ == "__main__":
    main()
