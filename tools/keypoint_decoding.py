"""How much faster the host build decodes keypoints than torchvision does on the CPU.

    python -m maskrt.tools.keypoint_decoding

Both on one thread, on the same heatmaps and boxes, of which the positions found are compared. The medians of several
rounds, in which the sides take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from maskrt.command import run_command
from maskrt.plugins import host

BOXES, KEYPOINTS, MAP = 100, 17, 56
ROUNDS = 5
SIDES = (40.0, 400.0)
"""Shortest and longest side of a box, pixels; evenly on a logarithmic scale between them."""


def measure(boxes: int = BOXES, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Time both.

    Returns:
        Seconds of torchvision and of the host build, and the share of keypoints at the same position.
    """
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 600, (boxes, 2))
    sides = SIDES[0] * (SIDES[1] / SIDES[0]) ** rng.random((boxes, 2))
    rois = np.concatenate((corner, corner + sides), axis=1).astype(np.float32)
    heatmaps = rng.standard_normal((boxes, KEYPOINTS, MAP, MAP)).astype(np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        theirs, ours = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            expected, _ = heatmaps_to_keypoints(torch.from_numpy(heatmaps), torch.from_numpy(rois))
            between = time.perf_counter()
            found = host.decode_keypoints(rois[None], heatmaps, normalized=False)
            theirs.append(between - start)
            ours.append(time.perf_counter() - between)
    finally:
        torch.set_num_threads(threads)
    same = (found[0, ..., :2] == expected[..., :2].numpy()).all(axis=-1).mean()
    return statistics.median(theirs), statistics.median(ours), float(same)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    name = "python -m maskrt.tools.keypoint_decoding"
    lines = (__doc__ or "").partition("\n")
    argparse.ArgumentParser(prog=name, description=lines[0], epilog=lines[2]).parse_args(arguments)
    return run_command(name, _print, interrupted="nothing was printed")


def _print() -> int:
    """Print the times and their ratio."""
    theirs, ours, same = measure()
    print(
        f"{BOXES} boxes of {SIDES[0]:g} to {SIDES[1]:g} px, {KEYPOINTS} keypoints each, one thread: torchvision "
        f"{1000 * theirs:.0f} ms, host build {1000 * ours:.0f} ms, {theirs / ours:.1f} times faster; "
        f"{same:.2%} of the positions are the same"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
