"""Train the demo model from scratch on generated scenes (`make train-shapes`); `maskrt.shapes.score` scores it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from maskrt.command import run_verb
from maskrt.files import check_writable
from maskrt.options import add_output_option, fraction, positive
from maskrt.shapes.extreme_points import extreme_points
from maskrt.shapes.model import WEIGHTS, build_model, save_weights
from maskrt.shapes.scenes import generate_scene

EXTRA = "maskrt[export,shapes]"
INTERRUPTED_NOTE = "the weights of every full 500 steps are written"

TRAINING_SIZES = (208, 240, 272)
"""Short sides in pixels, one drawn for each image; inference uses the model's own 320, which scores best."""

TRAINING_MAX_SIZE = 448
"""Longest side in pixels."""

Sample = tuple[torch.Tensor, dict[str, torch.Tensor]]


class Scenes(Dataset[Sample]):
    """Generated scenes in the form torchvision's detection models train on; every index is another scene."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        scene = generate_scene(index, "train")
        image = torch.from_numpy(scene.image).permute(2, 0, 1).float() / 255
        masks = torch.from_numpy(scene.masks)
        rows, columns = masks.any(2), masks.any(1)
        # A pixel reaches half a pixel beyond its centre, so a box ends one past the last pixel (COCO's convention).
        y = [(r.nonzero().min(), r.nonzero().max() + 1) for r in rows]
        x = [(c.nonzero().min(), c.nonzero().max() + 1) for c in columns]
        boxes = torch.tensor([[x0, y0, x1, y1] for (x0, x1), (y0, y1) in zip(x, y, strict=True)], dtype=torch.float32)
        target = {
            "boxes": boxes.reshape(-1, 4),
            "labels": torch.from_numpy(scene.labels),
            "masks": masks.to(torch.uint8),
            "keypoints": torch.from_numpy(extreme_points(scene.masks)),
        }
        return image, target


def _one_thread_per_worker(_: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def batches(steps: int, batch_size: int) -> Iterator[list[Sample]]:
    """Yield batches of training scenes, always the same ones in the same order."""
    loader = DataLoader(
        Scenes(steps * batch_size),
        batch_size=batch_size,
        collate_fn=list,
        num_workers=1,
        prefetch_factor=4,
        worker_init_fn=_one_thread_per_worker,
    )
    yield from loader


def reduced_precision() -> torch.autocast:
    """Return a context in which layers compute in bfloat16 where the processor has it."""
    bfloat16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16)


def train(steps: int, batch_size: int, learning_rate: float, output: Path) -> None:
    """Train with AdamW and a one-cycle schedule, in bfloat16 where the processor has it; save to `output`."""
    torch.manual_seed(0)
    model = build_model().train().to(memory_format=torch.channels_last)
    model.transform.min_size, model.transform.max_size = TRAINING_SIZES, TRAINING_MAX_SIZE
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=steps, pct_start=0.08)

    started = time.monotonic()
    running: dict[str, float] = {}
    for step, batch in enumerate(batches(steps, batch_size), start=1):
        images, targets = [image for image, _ in batch], [target for _, target in batch]
        with reduced_precision():
            losses = model(images, targets)
            loss = sum(losses.values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        for name, value in losses.items():
            running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
        if step % 20 == 0 or step == steps:
            rate = step * batch_size / (time.monotonic() - started)
            parts = "  ".join(f"{name.removeprefix('loss_')} {value:.3f}" for name, value in running.items())
            print(f"step {step}/{steps}  {rate:.1f} images/s  {parts}", flush=True)
        if step % 500 == 0 or step == steps:
            save_weights(model, output)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_option(parser, WEIGHTS, "file for the weights")
    parser.add_argument("--steps", type=positive, default=1800, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--learning-rate", type=fraction, default=6e-4, metavar="R", help="the largest, 0-1 (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Train; return the exit code.

    Raises:
        ArgumentError: the weights cannot be written.
    """
    check_writable(options.output)
    train(options.steps, options.batch_size, options.learning_rate, options.output)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.train", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
