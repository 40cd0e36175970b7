"""Reading and writing result files: JSON with a format, a kind, and the fields of the kind's type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskrt.errors import ArgumentError
from maskrt.evaluation.results.bench import Benchmark
from maskrt.evaluation.results.compare import Comparison
from maskrt.evaluation.results.evaluate import Evaluation
from maskrt.evaluation.results.gpu_check import GpuCheck, findings
from maskrt.evaluation.results.schema import SchemaError, from_json, to_json
from maskrt.files import read_text_file, write_in_one_step

FORMAT = 1

Result = Comparison | Evaluation | Benchmark | GpuCheck

KINDS: Mapping[str, type[Result]] = {
    "evaluate": Evaluation,
    "compare": Comparison,
    "bench": Benchmark,
    "gpu-check": GpuCheck,
}
"""By the verb, or target of `make`, that writes them."""


def kind_of(result: Result) -> str:
    """Name what writes such results, as in `KINDS`."""
    return next(name for name, kind in KINDS.items() if isinstance(result, kind))


def write_result(path: Path, result: Result) -> None:
    """Write a result file.

    Raises:
        OSError: it cannot be written.
    """
    content = {"format": FORMAT, "kind": kind_of(result), **to_json(result)}
    # Half of a character, as a damaged class name may hold, becomes an escape that JSON knows.
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    write_in_one_step(path, text.encode(errors="backslashreplace"))


def read_result(file: Path) -> Result:
    """Read a result file.

    Raises:
        ArgumentError: it cannot be read, is of a later format, is no result, or is damaged.
    """
    content = _read_json(file)
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArgumentError(f"{file} is no result of maskrt: expected the kind {', '.join(KINDS)}, but got {kind!r}.")
    version = content.get("format")
    if type(version) is not int:
        raise ArgumentError(f"{file} is damaged: its format is {version!r}, which was not expected. Make it again.")
    if version > FORMAT:
        raise ArgumentError(
            f"{file} is of format {version}; this maskrt reads up to format {FORMAT}. Upgrade it: "
            "`pip install --upgrade maskrt`."
        )
    try:
        result = from_json(KINDS[kind], content)
        if isinstance(result, GpuCheck):
            findings(result)
    except SchemaError as error:
        raise ArgumentError(f"{file} is damaged: {error}. Make it again.") from None
    return result


def _read_json(file: Path) -> Any:
    text = read_text_file(file, "result", ArgumentError)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ArgumentError(f"{file} is damaged: it is not JSON. Make it again.") from None
