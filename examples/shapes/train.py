"""Train the demo model on generated scenes (`make train-shapes`); `maskrt.shapes.score` scores it.

The weights that are there were trained in two goes: 1800 steps of 8 scenes from scratch (mask AP 0.662), at short sides
of 208 to 272 pixels, in random batches, without variations; from these on, as this module does it, with `--steps 2600
--learning-rate 5e-4 --first-scene 20000`, in 70 minutes on two cores that were busy otherwise, too (mask AP 0.754).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from maskrt.command import run_verb
from maskrt.errors import ArgumentError
from maskrt.files import check_regular, check_writable
from maskrt.options import add_output_option, fraction, positive
from maskrt.shapes.extreme_points import extreme_points
from maskrt.shapes.model import WEIGHTS, build_model, load_weights, save_weights
from maskrt.shapes.scenes import Scene, generate_scene

EXTRA = "maskrt[export,shapes]"
INTERRUPTED_NOTE = "the weights of every full 500 steps are written"

TRAINING_SIZES = (256, 288, 320)
"""Short sides in pixels, one drawn for each batch; inference uses the model's own 320, which scores best."""

TRAINING_MAX_SIZE = 560
"""Longest side in pixels."""

_SORTED_BATCHES = 8
"""So many batches are drawn at once and sorted by aspect ratio: images of one batch are padded to a common size."""

_AVERAGED_STEPS = 500
"""The weights that are saved are an exponential moving average over about so many steps."""

Sample = tuple[torch.Tensor, dict[str, torch.Tensor]]


def varied(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return a scene turned by a multiple of 90 degrees, perhaps mirrored, its colour channels in another order."""
    turns, mirrored, channels = int(rng.integers(4)), rng.random() < 0.5, rng.permutation(3)
    image, masks = np.rot90(scene.image, turns)[..., channels], np.rot90(scene.masks, turns, axes=(1, 2))
    if mirrored:
        image, masks = image[:, ::-1], masks[:, :, ::-1]
    return Scene(np.ascontiguousarray(image), np.ascontiguousarray(masks), scene.labels)


def sample(scene: Scene) -> Sample:
    """Return a scene in the form that torchvision's detection models train on."""
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


class Scenes(Dataset[Sample]):
    """Generated scenes, varied; every index from `first` on is another scene."""

    def __init__(self, length: int, first: int = 1) -> None:
        self._length, self._first = length, first

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        number = self._first + index
        return sample(varied(generate_scene(number, "train"), np.random.default_rng(number)))


def _one_thread_per_worker(_: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def sorted_by_aspect(batches: Iterable[list[Sample]], seed: int) -> Iterator[list[Sample]]:
    """Exchange samples between every eight batches of one size so that each has images of similar aspect ratio."""
    rng = np.random.default_rng(seed)
    iterator = iter(batches)
    while group := list(islice(iterator, _SORTED_BATCHES)):
        samples = sorted(chain.from_iterable(group), key=lambda image_target: _aspect(image_target[0]))
        size = len(group[0])
        for number in rng.permutation(len(group)):
            yield samples[number * size : (number + 1) * size]


def _aspect(image: torch.Tensor) -> float:
    return image.shape[2] / image.shape[1]


def batches(steps: int, batch_size: int, first_scene: int = 1) -> Iterator[list[Sample]]:
    """Yield batches of training scenes of similar aspect ratio, always the same ones in the same order."""
    loader = DataLoader(
        Scenes(steps * batch_size, first_scene),
        batch_size=batch_size,
        collate_fn=list,
        num_workers=1,
        prefetch_factor=_SORTED_BATCHES,
        worker_init_fn=_one_thread_per_worker,
    )
    yield from sorted_by_aspect(loader, first_scene)


def reduced_precision() -> torch.autocast:
    """Return a context in which layers compute in bfloat16 where the processor has it."""
    bfloat16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16)


def train(
    steps: int, batch_size: int, learning_rate: float, output: Path, start: Path | None = None, first_scene: int = 1
) -> None:
    """Train with AdamW and a one-cycle schedule, in bfloat16 where the processor has it.

    Args:
        steps, batch_size: how many batches of how many images.
        learning_rate: the largest.
        output: the file for the moving average of the weights.
        start: a file with the weights to begin with; drawn without one.
        first_scene: the number of the first training scene, to see other scenes than an earlier training saw.
    """
    torch.manual_seed(0)
    model = build_model() if start is None else load_weights(build_model(), start)
    model.train().to(memory_format=torch.channels_last)
    model.transform.max_size = TRAINING_MAX_SIZE
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / _AVERAGED_STEPS), use_buffers=True)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=steps, pct_start=0.08)

    started = time.monotonic()
    running: dict[str, float] = {}
    rng = np.random.default_rng(first_scene)
    for step, batch in enumerate(batches(steps, batch_size, first_scene), start=1):
        images, targets = [image for image, _ in batch], [target for _, target in batch]
        model.transform.min_size = (int(rng.choice(TRAINING_SIZES)),)
        with reduced_precision():
            losses = model(images, targets)
            loss = sum(losses.values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(model)
        for name, value in losses.items():
            running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
        if step % 20 == 0 or step == steps:
            rate = step * batch_size / (time.monotonic() - started)
            parts = "  ".join(f"{name.removeprefix('loss_')} {value:.3f}" for name, value in running.items())
            print(f"step {step}/{steps}  {rate:.1f} images/s  {parts}", flush=True)
        if step % 500 == 0 or step == steps:
            save_weights(averaged.module, output)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_option(parser, WEIGHTS, "file for the weights")
    parser.add_argument("--start", type=Path, metavar="FILE", help="weights to begin with (default: drawn ones)")
    parser.add_argument(
        "--first-scene", type=positive, default=1, metavar="N", help="number of the first scene (default: %(default)s)"
    )
    parser.add_argument("--steps", type=positive, default=4400, metavar="N", help="(default: %(default)s)")
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
    if options.start is not None:
        check_regular(options.start, "file of weights (--start)", ArgumentError)
    train(options.steps, options.batch_size, options.learning_rate, options.output, options.start, options.first_scene)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_verb("python -m maskrt.shapes.train", sys.modules[__name__], arguments)


if __name__ == "__main__":
    sys.exit(main())
