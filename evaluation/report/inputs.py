"""The result files that a report is made from, found and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from maskrt.errors import ArgumentError
from maskrt.evaluation.results.bench import Benchmark
from maskrt.evaluation.results.compare import Comparison
from maskrt.evaluation.results.evaluate import Evaluation
from maskrt.evaluation.results.files import KINDS, Result, kind_of, read_result
from maskrt.evaluation.results.gpu_check import GpuCheck

T = TypeVar("T", Evaluation, Comparison, Benchmark)


@dataclass(frozen=True)
class Results:
    """The content of the result files; None for a kind that is not there, and any number of checks of GPUs."""

    evaluate: Evaluation | None = None
    compare: Comparison | None = None
    bench: Benchmark | None = None
    gpu_checks: tuple[GpuCheck, ...] = ()

    @property
    def all(self) -> list[Result]:
        """Those that are there."""
        single = (self.compare, self.evaluate, self.bench)
        return [*(content for content in single if content is not None), *self.gpu_checks]


def read_results(paths: Sequence[Path]) -> Results:
    """Read result files.

    Args:
        paths: files, and folders: of these, for each kind, `kind.json` or `kind/kind.json`, and `gpu-check-*.json`.

    Raises:
        ArgumentError: none is there, one cannot be read or is damaged, or two are of one kind but gpu-check.
    """
    files = [file for path in paths for file in (_files_below(path) if path.is_dir() else [path])]
    if not files:
        *others, last = (f"{kind}.json" for kind in KINDS)
        raise ArgumentError(
            f"There is no {', '.join(others)} or {last} in {', '.join(map(str, paths))}. "
            "`make evaluate`, `make compare`, `make bench` and, on a GPU, `make gpu-check` write them."
        )
    contents: list[Result] = []
    for file in files:
        content = read_result(file)
        if not isinstance(content, GpuCheck) and any(isinstance(other, type(content)) for other in contents):
            raise ArgumentError(
                f"{file} is a second file of results of {kind_of(content)}: a report shows one of each kind."
            )
        contents.append(content)
    checks = tuple(content for content in contents if isinstance(content, GpuCheck))
    return Results(_only(contents, Evaluation), _only(contents, Comparison), _only(contents, Benchmark), checks)


def _only(contents: Sequence[Result], kind: type[T]) -> T | None:
    return next((content for content in contents if isinstance(content, kind)), None)


def _files_below(folder: Path) -> list[Path]:
    places = [(folder / f"{kind}.json", folder / kind / f"{kind}.json") for kind in KINDS]
    found = [next(path for path in both if path.is_file()) for both in places if any(path.is_file() for path in both)]
    return found + sorted(folder.glob("gpu-check-*.json"))
