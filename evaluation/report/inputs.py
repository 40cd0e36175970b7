"""The result files that a report is made from, found and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.errors import ArgumentError

FORMAT = 1

_NUMBER_OR_NULL = (int, float, type(None))
_TEXT_OR_NULL = (str, type(None))
_AP = dict.fromkeys(("AP", "AP50", "AP75", "APs", "APm", "APl"), _NUMBER_OR_NULL)
_SECONDS = dict.fromkeys(("median", "p90", "p99"), (int, float))
_RATIO = dict.fromkeys(("median", "least", "most"), (int, float))
_INSTANCE = {
    "box": [(int, float)],
    "score": (int, float),
    "name": (str,),
    "rle": ({"size": [(int,)], "counts": (str,)}, type(None)),
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "evaluate": {
        "dataset": {"name": (str,), "images": (int,)},
        "models": [
            {
                "name": (str,),
                "precision": (str,),
                "backend": (str,),
                "box": _AP,
                "mask": (_AP, type(None)),
                "per_class": [{"name": (str,), "box": _NUMBER_OR_NULL, "mask": _NUMBER_OR_NULL}],
                "seconds_per_image": (int, float),
            }
        ],
    },
    "compare": {
        "reference": {"name": (str,)},
        "score_threshold": (int, float),
        "candidates": [
            {
                "name": (str,),
                "precision": (str,),
                "backend": (str,),
                "verdict": (str,),
                "reasons": [(str,)],
                "budget": {},
                "first_difference": _TEXT_OR_NULL,
                "tensors": [
                    {
                        "name": (str,),
                        **dict.fromkeys(("max_abs", "mean_abs", "max_rel", "mean_rel", "snr_db"), _NUMBER_OR_NULL),
                        "within_budget": (bool,),
                    }
                ],
                "detections": {
                    **dict.fromkeys(("reference", "matched", "missing", "extra"), (int,)),
                    **dict.fromkeys(("box_px", "box_px_max", "score", "score_max"), _NUMBER_OR_NULL),
                    **dict.fromkeys(("mask_iou", "mask_iou_min"), _NUMBER_OR_NULL),
                },
                "worst_image": ({"file": (str,)}, type(None)),
            }
        ],
        "not_compared": [{"name": (str,), "why": (str,)}],
        "images": [{"file": (str,), "height": (int,), "width": (int,), "instances": {"*": [_INSTANCE]}}],
        "image_folder": (str,),
    },
    "bench": {
        "settings": {"repeats": (int,), "warm_up": (int,), "threads": (int, type(None))},
        "pipeline": [
            {
                **dict.fromkeys(("name", "precision", "backend"), (str,)),
                "batch": (int,),
                "picture_size": ([(int,)], type(None)),
                "seconds": dict.fromkeys(("decode", "preprocess", "infer", "postprocess", "rle", "total"), _SECONDS),
                "images_per_second": (int, float),
                "overlapped_images_per_second": _NUMBER_OR_NULL,
                "speedup": {"reference": (str,), **_RATIO},
                "peak_memory": {"host": (int, type(None)), "device": (int, type(None))},
            }
        ],
        "failed": [{"name": (str,), "batch": (int,), "reason": (str,)}],
        "operations": [
            {
                "operation": (str,),
                "image_size": [(int,)],
                "reference": (str,),
                "reference_seconds": _SECONDS,
                "seconds": _SECONDS,
                "ratio": _RATIO,
            }
        ],
    },
}
"""What the report reads of each kind. A list means all its entries, `"*"` every key; a tuple names the types."""

KINDS = tuple(_SCHEMAS)


@dataclass(frozen=True)
class Results:
    """The content of the result files; None for a kind that is not there. See the docstrings of
    `maskrt.evaluation.evaluate.cli`, `compare` and `bench`."""

    evaluate: dict[str, Any] | None = None
    compare: dict[str, Any] | None = None
    bench: dict[str, Any] | None = None

    @property
    def all(self) -> list[dict[str, Any]]:
        """Those that are there."""
        return [content for content in (self.compare, self.evaluate, self.bench) if content is not None]


def read_results(paths: Sequence[Path]) -> Results:
    """Read result files.

    Args:
        paths: files, and folders: of these, for each kind, `kind.json` or `kind/kind.json`.

    Raises:
        ArgumentError: none is there, one cannot be read or is damaged, or two are of one kind.
    """
    files = [file for path in paths for file in (_files_below(path) if path.is_dir() else [path])]
    if not files:
        places = ", ".join(map(str, paths))
        raise ArgumentError(
            f"There is no {', '.join(f'{kind}.json' for kind in KINDS[:-1])} or {KINDS[-1]}.json in {places}. "
            "`make evaluate`, `make compare` and `make bench` write them."
        )
    contents: dict[str, dict[str, Any]] = {}
    for file in files:
        kind, content = _read(file)
        if kind in contents:
            raise ArgumentError(f"{file} is a second file of results of {kind}: a report shows one of each kind.")
        contents[kind] = content
    return Results(**contents)


def _files_below(folder: Path) -> list[Path]:
    places = [(folder / f"{kind}.json", folder / kind / f"{kind}.json") for kind in KINDS]
    return [next(path for path in both if path.is_file()) for both in places if any(path.is_file() for path in both)]


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"{file} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise ArgumentError(f"{file} is damaged: it is not JSON. Make it again.") from None
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in _SCHEMAS:
        raise ArgumentError(f"{file} is no result of maskrt: expected the kind {', '.join(KINDS)}, but got {kind!r}.")
    version = content.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise ArgumentError(
            f"{file} is of format {version}; this maskrt reads up to format {FORMAT}. Upgrade it: "
            "`pip install --upgrade maskrt`."
        )
    schema = {"format": (int,), "environment": {"packages": {"*": (str,)}}, **_SCHEMAS[kind]}
    if problem := _problem(content, schema, ""):
        raise ArgumentError(f"{file} is damaged: {problem}. Make it again.")
    return kind, content


def _problem(value: Any, schema: Any, place: str) -> str | None:
    """What is wrong with a value, in words; None if it is as the schema says."""
    if isinstance(schema, tuple):
        if any(_problem(value, choice, place) is None for choice in schema):
            return None
        nested = [choice for choice in schema if not isinstance(choice, type)]
        return (
            _problem(value, nested[0], place) if nested and isinstance(value, type(nested[0])) else _other(value, place)
        )
    if isinstance(schema, type):
        finite = not isinstance(value, float) or math.isfinite(value)  # JSON knows no others, but Python writes them
        return None if type(value) is schema and finite else _other(value, place)
    if not isinstance(value, type(schema)):
        return _other(value, place)
    if isinstance(schema, list):
        entries = [(f"{place}[{i}]", entry, schema[0]) for i, entry in enumerate(value)]
    elif "*" in schema:
        entries = [(f"{place}.{key}", entry, schema["*"]) for key, entry in value.items()]
    else:
        if missing := [key for key in schema if key not in value]:
            return f"{place.lstrip('.') or 'the file'} has no {missing[0]!r}"
        entries = [(f"{place}.{key}", value[key], expected) for key, expected in schema.items()]
    return next((problem for where, entry, expected in entries if (problem := _problem(entry, expected, where))), None)


def _other(value: Any, place: str) -> str:
    text = repr(value)
    return f"{place.lstrip('.')} is {text if len(text) <= 60 else f'{text[:57]}...'}, which was not expected"
