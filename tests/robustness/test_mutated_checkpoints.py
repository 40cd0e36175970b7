"""Thousands of damaged checkpoints and configs: each ends in a sentence or in a result, in bounded time and memory.

A short form runs by default, all of it with MASKRT_LONG_TESTS=1. The damage is the same in every run.
"""

import os
from pathlib import Path

from .checkpoint_files import DETECTRON2_CONFIG, checkpoint_files, config_files, pickle_of, with_pickle
from .examiner import Examiner
from .mutations import Mutator
from .test_mutated_files import Tally

LONG = os.environ.get("MASKRT_LONG_TESTS") == "1"
CHECKPOINTS = 1_400 if LONG else 140
CONFIGS = 600 if LONG else 60


def test_mutated_checkpoints(tmp_path: Path) -> None:
    """Every other one of an archive is damaged within its pickle, where the checksum would have shown it."""
    files = checkpoint_files()
    tally = Tally(tmp_path)
    mutators = {name: Mutator(data, seed=[7, number]) for number, (name, data) in enumerate(files.items())}
    pickles = {name: Mutator(pickle_of(data), seed=[8]) for name, data in files.items() if name.startswith("archive")}
    with Examiner() as examiner:
        for name, data in files.items():
            assert examiner.examine("checkpoint", _written(tmp_path, name, data)).outcome == "result", name
        for number in range(CHECKPOINTS):
            name = list(files)[number % len(files)]
            within = name in pickles and number // len(files) % 2
            content = with_pickle(files[name], pickles[name](number)) if within else mutators[name](number)
            path = _written(tmp_path, name, content)
            tally.add(f"{number} {name}", content, examiner.examine("checkpoint", path), right=None)
    tally.report("checkpoints", examiner)
    assert not tally.faults


def test_mutated_configs(tmp_path: Path) -> None:
    files = config_files()
    tally = Tally(tmp_path)
    mutators = {
        name: Mutator(data, seed=[9, n], regions=[(0, len(data))]) for n, (name, data) in enumerate(files.items())
    }
    with Examiner() as examiner:
        for number in range(CONFIGS):
            name = list(files)[number % len(files)]
            content = mutators[name](number)
            path = tmp_path / ("mutated.yaml" if name == DETECTRON2_CONFIG else "mutated.conf")
            path.write_bytes(content)
            tally.add(f"{number} {name}", content, examiner.examine("config", path), right=None)
    tally.report("configs", examiner)
    assert not tally.faults


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / ("mutated.safetensors" if name == "safetensors" else "mutated.pth")
    path.write_bytes(data)
    return path
