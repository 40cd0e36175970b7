"""The output writers, in the order in which they get a picture: what cannot be drawn is not in the data."""

import importlib
from collections.abc import Mapping

from maskrt.runtime.inference.writers.base import Opener

_WRITERS = (
    "maskrt.runtime.inference.writers.overlay",
    "maskrt.runtime.inference.writers.video",
    "maskrt.runtime.inference.writers.class_masks",
    "maskrt.runtime.inference.writers.instance_masks",
    "maskrt.runtime.inference.writers.crops",
    "maskrt.runtime.inference.writers.table",
    "maskrt.runtime.inference.writers.coco",
    "maskrt.runtime.inference.writers.jsonl",
)
"""Modules with an `open_writer`. A new one is a line here."""

WRITERS: Mapping[str, Opener] = {
    name.rpartition(".")[2]: importlib.import_module(name).open_writer for name in _WRITERS
}
"""By the name of the module."""
