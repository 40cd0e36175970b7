"""Mask pasting and COCO encoding: maskrt's runtime against torchvision and pycocotools.

    python -m maskrt.evaluation.bench_paste

Both sides turn the same boxes and 28x28 masks of 100 detections into the same COCO RLE strings. They are
timed in turns in one run; the figure is the ratio.
"""

import argparse
from functools import partial

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from maskrt.evaluation.timing import ratio, seconds_in_turns
from maskrt.runtime import Instances

IMAGE_SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840)}


def make_instances(number: int, image_size: tuple[int, int], rng: np.random.Generator) -> Instances:
    """Detections as a trained model gives them: boxes inside the image, masks with one smooth contour.

    Box sides are log-normal around a fifth of the image height, as among COCO's objects of all sizes.
    """
    height, width = image_size
    centers = rng.uniform(0, 1, (number, 2)) * (width, height)
    sides = np.exp(rng.normal(np.log(0.2 * height), 0.7, (number, 2)))
    boxes = np.concatenate((centers - sides / 2, centers + sides / 2), axis=1)
    boxes = np.clip(boxes, 0, (width, height, width, height)).astype(np.float32)
    noise = rng.random((number, 28, 28), dtype=np.float32)
    y, x = np.mgrid[-13.5:14, -13.5:14]
    logits = [12 - np.hypot(x, y) + 20 * (cv2.GaussianBlur(mask, (9, 9), 3) - 0.5) for mask in noise]
    return Instances(
        boxes=boxes,
        scores=np.ones(number, dtype=np.float32),
        labels=np.ones(number, dtype=np.int32),
        mask_probabilities=(1 / (1 + np.exp(-np.stack(logits)))).astype(np.float32),
        class_names=("__background__", "object"),
        image_size=image_size,
    )


def paste_and_encode(instances: Instances) -> list[str]:
    """What a torchvision pipeline does: canvas, threshold, column order, encode.

    One instance at a time, which is faster than all at once: 100 canvases at 4K are 3.3 GB.
    """
    texts = []
    masks = torch.from_numpy(instances.mask_probabilities)[:, None]
    for mask, box in zip(masks, torch.from_numpy(instances.boxes), strict=True):
        pasted = paste_masks_in_image(mask[None], box[None], instances.image_size)[0, 0]
        binary = np.asfortranarray((pasted > 0.5).numpy().view(np.uint8))
        texts.append(coco_mask.encode(binary)["counts"].decode())
    return texts


def main() -> None:
    """Print medians of both sides and the ratio with its spread."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV (default: 1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)

    print(f"paste + RLE of {options.detections} detections, {options.repeats} repeats, {options.threads} thread(s)")
    print(f"{'image':<6} {'torchvision + pycocotools':>26} {'maskrt':>10}  ratio (least to most)")
    for name, image_size in IMAGE_SIZES.items():
        instances = make_instances(options.detections, image_size, np.random.default_rng(0))
        ours = [rle["counts"] for rle in instances.rle()]
        differing = sum(a != b for a, b in zip(ours, paste_and_encode(instances), strict=True))
        times = seconds_in_turns((partial(paste_and_encode, instances), instances.rle), options.repeats)
        slow, fast = 1000 * np.median(times, axis=0)
        print(
            f"{name:<6} {slow:>23.1f} ms {fast:>7.1f} ms  {ratio(*times.T)}; {differing} of {len(ours)} strings differ"
        )


if __name__ == "__main__":
    main()
