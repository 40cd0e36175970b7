"""How far the stages of `maskrt infer` overlap, and what the runtime adds to the inference engine.

    python -m maskrt.tools.pipelining model.onnx --images photos/ --turns 5

Two runs over the same images, in turns: all stages of an image before those of the next, and overlapped. The wall time
of the overlapped run is compared with the summed time of the slowest stage, which it cannot beat, and with the other
run. ONNX Runtime is held to `--threads`, so that a core is left for the other stages.

The overhead is what one `Segmenter.predict` with encoding of the masks takes outside of `InferenceSession.run`.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import numpy as np
import onnxruntime

from maskrt.command import run_command
from maskrt.errors import ArgumentError
from maskrt.evaluation.bench.timing import ratio
from maskrt.options import positive
from maskrt.runtime import Segmenter, read_image
from maskrt.runtime.inference.find import find_images
from maskrt.runtime.inference.journal import Journal
from maskrt.runtime.inference.run import Run
from maskrt.runtime.inference.settings import Settings
from maskrt.runtime.inference.sources import ImageFiles
from maskrt.runtime.streaming.pipeline import Stage, run_pipeline
from maskrt.runtime.streaming.stopwatch import Stopwatch


class Turn(NamedTuple):
    """Wall times in seconds of a run over all images."""

    wall: float
    stages: dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return run_command(
        "python -m maskrt.tools.pipelining", lambda: _measure(_parse(arguments)), interrupted="nothing was printed"
    )


def _measure(options: argparse.Namespace) -> int:
    """Print the ratios with their spread."""
    files, problems = find_images(options.images)
    if problems:
        raise ArgumentError(" ".join(problems))
    files = files[: options.limit]
    cv2.setNumThreads(options.threads)
    engine = Stopwatch()
    with _timed_sessions(engine):
        segmenter = Segmenter(options.model, threads=options.threads)
    overhead = measure_overhead(segmenter, files, engine)
    serial, overlapped = measure_overlap(segmenter, files, options.turns)
    print(f"{options.model}, {len(files)} images, {options.turns} turns, {options.threads} thread(s) of ONNX Runtime")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} processes on {os.cpu_count()} cores")
    _print_stages(serial, overlapped, len(files))
    slowest = np.array([max(turn.stages.values()) for turn in serial])
    own_slowest = np.array([max(turn.stages.values()) for turn in overlapped])
    walls = (np.array([turn.wall for turn in turns]) for turns in (serial, overlapped))
    serial_wall, wall = walls
    print(f"overlapped wall time / slowest stage of the same run   {ratio(wall, own_slowest)}")
    print(f"overlapped wall time / slowest stage of the serial run {ratio(wall, slowest)}")
    print(f"serial wall time / overlapped wall time                {ratio(serial_wall, wall)}")
    print(
        f"runtime outside of the engine / engine                 {np.median(overhead):.2%} "
        f"({overhead.min():.2%} to {overhead.max():.2%})"
    )
    return 0


def measure_overlap(segmenter: Segmenter, files: Sequence[Path], turns: int) -> tuple[list[Turn], list[Turn]]:
    """Do `turns` runs of each kind after one that is not counted: one stage at a time, and overlapped."""
    serial, overlapped = [], []
    for _ in range(turns + 1):
        serial.append(_run(segmenter, files, overlap=False))
        overlapped.append(_run(segmenter, files, overlap=True))
    return serial[1:], overlapped[1:]


def _run(segmenter: Segmenter, files: Sequence[Path], overlap: bool) -> Turn:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "overlays").mkdir()
        run = Run(segmenter, ImageFiles(files, Journal(Path(folder), {})), Settings(Path(folder)))
        stopwatch = Stopwatch()
        stages = [_timed(stage, stopwatch) for stage in run.stages]
        start = time.perf_counter()
        if overlap:
            for outcome in run_pipeline(run.batches(), stages):
                _check(outcome.item)
        else:
            for batch in run.batches():
                value: Any = batch
                for stage in stages:
                    value = stage.function(value)
                _check(batch)
        return Turn(time.perf_counter() - start, stopwatch.seconds)


def _timed(stage: Stage, stopwatch: Stopwatch) -> Stage:
    def function(value: Any) -> Any:
        with stopwatch.stage(stage.name):
            return stage.function(value)

    return stage._replace(function=function)


def _check(jobs: Sequence[Any]) -> None:
    for job in jobs:
        if job.error is not None:
            raise job.error


def measure_overhead(segmenter: Segmenter, files: Sequence[Path], engine: Stopwatch) -> np.ndarray:
    """[images] float64: time of `predict` and `rle` outside of the engine, as a share of that inside.

    Args:
        engine: the stopwatch that runs while ONNX Runtime does.
    """
    images = [read_image(file) for file in files]
    segmenter.predict(images[0])
    shares = []
    for image in images:
        before = engine.seconds["run"]
        start = time.perf_counter()
        instances = segmenter.predict(image)
        if instances.has_masks:
            instances.rle()
        total, inside = time.perf_counter() - start, engine.seconds["run"] - before
        shares.append((total - inside) / inside)
    return np.array(shares)


@contextmanager
def _timed_sessions(stopwatch: Stopwatch) -> Iterator[None]:
    """Inside the block, ONNX Runtime opens sessions that time their runs."""

    class TimedSession(onnxruntime.InferenceSession):
        def run(self, *arguments: Any, **options: Any) -> Any:
            with stopwatch.stage("run"):
                return super().run(*arguments, **options)

    with patch.object(onnxruntime, "InferenceSession", TimedSession):
        yield


def _print_stages(serial: Sequence[Turn], overlapped: Sequence[Turn], images: int) -> None:
    print(f"{'ms/image':<12} {'serial':>8} {'overlapped':>11}")
    for name in serial[0].stages:
        one, other = (1000 / images * np.median([t.stages[name] for t in turns]) for turns in (serial, overlapped))
        print(f"{name:<12} {one:>8.1f} {other:>11.1f}")
    one, other = (1000 / images * np.median([turn.wall for turn in turns]) for turns in (serial, overlapped))
    print(f"{'wall':<12} {one:>8.1f} {other:>11.1f}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m maskrt.tools.pipelining",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file")
    parser.add_argument("--images", nargs="+", required=True, metavar="PATH", help="images, folders, globs")
    parser.add_argument("--turns", type=positive, default=5, metavar="N", help="runs of each kind (default: 5)")
    parser.add_argument("--limit", type=positive, default=24, metavar="N", help="take N images at most (default: 24)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="of ONNX Runtime (default: 1)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
