"""Model files and PyTorch on the same pictures, in turns: time, throughput and memory of each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from maskrt.errors import ArgumentError, DependencyError
from maskrt.evaluation.bench.pictures import gather_pictures, make_batches, resize_pictures
from maskrt.evaluation.bench.pipeline import measure_pipeline
from maskrt.evaluation.bench.sides import Side, limit_opencv_threads, open_segmenter
from maskrt.evaluation.bench.table import operations_table, pipeline_table
from maskrt.evaluation.environment import describe_environment
from maskrt.evaluation.results.bench import Benchmark, Failure, OperationRecord, PipelineRecord, Settings
from maskrt.export.families.base import families
from maskrt.options import SourceOptions, names_of
from maskrt.terminal import say

OPERATION_REPEATS = 7
"""At most: frameworks paste 100 masks at 4K in seconds."""


@dataclass(frozen=True)
class Turns:
    """How often each side runs: turns with a stopwatch, and before them, without."""

    repeats: int
    warm_up: int


def openers_of(
    models: Sequence[Path], source: SourceOptions | None, compiled: Sequence[bool], threads: int | None
) -> list[Callable[[], Side]]:
    """Make what opens each side, here or in another process. PyTorch comes first: the others are compared with it.

    Args:
        models: model files.
        source: the PyTorch model; None: no PyTorch.
        compiled: for each side of PyTorch, whether it is compiled.
        threads: CPU threads of each side; None: one per core.

    Raises:
        DependencyError: what PyTorch's side needs is not installed.
    """
    openers: list[Callable[[], Side]] = []
    if source is not None:
        try:
            from maskrt.evaluation.bench.source import open_source
        except ImportError as error:
            raise DependencyError(
                f"Comparing with PyTorch needs {error.name}: `pip install maskrt[evaluate]`."
            ) from None
        openers += [partial(open_source, source, each, threads) for each in compiled]
    openers += [
        partial(open_segmenter, path, name, threads) for path, name in zip(models, names_of(models), strict=True)
    ]
    return openers


def open_sides(openers: Sequence[Callable[[], Side]]) -> list[Side]:
    """Open all sides.

    Raises:
        ArgumentError: PyTorch would do other work than a model file; a comparison would mean nothing.
        MaskrtError: a model cannot be opened.
    """
    sides = [opener() for opener in openers]
    of_torch = [side for side in sides if side.backend.startswith("PyTorch")]
    for side in sides:
        if of_torch and side.work != of_torch[0].work:
            raise ArgumentError(
                f"{side.name} was not exported from the PyTorch model: it has {side.work}, the PyTorch model has "
                f"{of_torch[0].work}. Give that model with --source (and --weights or --checkpoint), as for "
                "`maskrt export`, or export the file again."
            )
    return sides


@dataclass(frozen=True)
class PipelineRequest:
    """What the pipeline is measured on.

    Attributes:
        images: files, folders and globs.
        limit: how many image files, the first ones.
        batch_sizes: images in a batch, one measurement for each.
        sizes: (height, width) that the pictures are stretched to, one measurement for each; none: as they are.
    """

    images: Sequence[str]
    limit: int
    batch_sizes: Sequence[int] = (1,)
    sizes: Sequence[tuple[int, int]] = ()


def measure(
    openers: Sequence[Callable[[], Side]],
    request: PipelineRequest,
    turns: Turns,
    *,
    threads: int | None = None,
    operations: bool = False,
    stream: TextIO | None = None,
) -> Benchmark:
    """Measure every side on every size and batch, and print a table for each.

    Args:
        openers: from `openers_of`; none: only the operations are measured.
        request: the pictures and batches.
        turns: how often.
        threads: that the sides take, for the record and for the operations.
        operations: also time single operations of the runtime, at most `OPERATION_REPEATS` times.
        stream: where the tables go; None: standard output.

    Raises:
        MaskrtError: a model or an image does not work.
        OSError: there is no room for stretched pictures.
    """
    pipeline: list[PipelineRecord] = []
    failed: list[Failure] = []
    pictures = 0
    if openers:
        sides = open_sides(openers)
        files = gather_pictures(request.images, request.limit)
        pictures = len(files)
        with tempfile.TemporaryDirectory() as folder:
            for size in request.sizes or (None,):
                stretched = files if size is None else resize_pictures(files, size, Path(folder))
                for batch in request.batch_sizes:
                    batches = make_batches(stretched, batch)
                    records, failures = measure_pipeline(openers, sides, batches, turns.repeats, turns.warm_up, size)
                    pipeline += records
                    failed += failures
                    title = f"batch {batch}, pictures " + ("as they are" if size is None else f"of {size[0]}x{size[1]}")
                    rows = pipeline_table(records) if records else []
                    say("", f"{title}, {turns.repeats} repeats", *rows, file=stream)
    of_operations = _measure_operations(threads, min(turns.repeats, OPERATION_REPEATS)) if operations else []
    if of_operations:
        say("", *operations_table(of_operations), file=stream)
    return Benchmark(
        environment=describe_environment(),
        settings=Settings(threads, turns.repeats, turns.warm_up, pictures),
        pipeline=tuple(pipeline),
        failed=tuple(failed),
        operations=tuple(of_operations),
    )


def _measure_operations(threads: int | None, repeats: int) -> list[OperationRecord]:
    try:
        import torch

        from maskrt.evaluation.bench.paste import measure_paste
        from maskrt.evaluation.bench.preprocess import measure_preprocess

        frameworks = [operations for family in families() if (operations := family.operations()) is not None]
    except ImportError as error:
        raise DependencyError(f"--operations needs {error.name}: `pip install maskrt[evaluate]`.") from None
    limit_opencv_threads(threads)
    if threads is not None:
        torch.set_num_threads(threads)
    measures = (measure_preprocess, measure_paste)
    return [record for framework in frameworks for measure in measures for record in measure(framework, repeats)]
