"""A calibration kept in a file, so that the next run with the same model and images reuses it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from maskrt.calibration.calibrate import Calibration
from maskrt.calibration.model_file import write_file
from maskrt.contract.metadata import load_json
from maskrt.errors import MaskrtError
from maskrt.files import read_text_file

_FORMAT = 1


def write_cache(path: Path, key: dict[str, Any], calibration: Calibration) -> None:
    """Write a calibration; `key` (JSON values) says what it was measured with.

    Raises:
        MaskrtError: the file cannot be written.
    """
    content = {"format": _FORMAT, "key": key, **dataclasses.asdict(calibration)}
    write_file(path, json.dumps(content, indent=1).encode())


def read_cache(path: Path, key: dict[str, Any]) -> Calibration | None:
    """Read the calibration in a file, if there is one that was measured with the same."""
    try:
        content = load_json(read_text_file(path, "calibration"))
        if content["format"] != _FORMAT or content["key"] != key:
            return None
        return Calibration(
            thresholds={str(name): float(value) for name, value in content["thresholds"].items()},
            macs={str(name): float(value) for name, value in content["macs"].items()},
            images=int(content["images"]),
            empty_images=int(content["empty_images"]),
        )
    except (MaskrtError, ValueError, KeyError, TypeError, AttributeError):
        return None
