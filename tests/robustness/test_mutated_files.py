"""Thousands of damaged files: each ends in a sentence or in a correct result, in bounded time and memory.

A short form runs by default, all of it with MASKRT_LONG_TESTS=1. The damage is the same in every run.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskrt.contract.manifest import manifest_path
from maskrt.contract.seal import sealed

from .examiner import Examiner, Finding
from .image_files import image_files
from .model_files import (
    engine_and_manifest,
    manifest_with_odd_values,
    model_with_odd_metadata,
    outside_of_weights,
    small_model,
)
from .mutations import Mutator

LONG = os.environ.get("MASKRT_LONG_TESTS") == "1"
IMAGES = 20_000 if LONG else 500
MODELS = 1_400 if LONG else 70
ENGINES_AND_MANIFESTS = 600  # take a second


class Tally:
    """Counts what came of damaged files, and keeps those that came to a bad end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._outcomes: Counter[str] = Counter()
        self.faults: list[str] = []

    def add(self, name: str, content: bytes, finding: Finding, right: Finding | None) -> None:
        """Takes in what came of a file. Good is a refusal in a sentence, or `right`, or any result if that is None."""
        self._outcomes[finding.outcome] += 1
        sentence = "mutated." in finding.message and finding.message.endswith(".")  # it names the file
        good = finding.outcome == "result" if right is None else finding == right
        if not good and not (finding.outcome == "refused" and sentence):
            path = self._folder / name.replace(" ", "-")
            path.write_bytes(content)
            self.faults.append(f"{path}: {finding.outcome}: {finding.message}")

    def report(self, what: str, examiner: Examiner) -> None:
        print(f"{self._outcomes.total()} {what}: {dict(self._outcomes)}, at most {examiner.peak_mb} MB")


def test_mutated_images(tmp_path: Path) -> None:
    files = image_files()
    mutators = [(name, Mutator(data, seed=[1, number])) for number, (name, data) in enumerate(files.items())]
    tally, path = Tally(tmp_path), tmp_path / "mutated.img"
    with Examiner() as examiner:
        for name, data in files.items():
            path.write_bytes(data)
            assert examiner.examine("image", path).outcome == "result", name
        for number in range(IMAGES):
            name, mutate = mutators[number % len(mutators)]
            content = mutate(number)
            path.write_bytes(content)
            tally.add(f"{number} {name}", content, examiner.examine("image", path), right=None)
    tally.report("images", examiner)
    assert not tally.faults


def test_mutated_models(shapes_onnx: Path, tmp_path: Path) -> None:
    """A damaged model is refused or finds the very same instances as before."""
    tally, path = Tally(tmp_path), tmp_path / "mutated.onnx"
    small, demo = sealed(small_model().SerializeToString()), shapes_onnx.read_bytes()
    with Examiner() as examiner:
        for name, data, count in (("small", small, 4 * MODELS // 7), ("demo", demo, MODELS // 7)):
            path.write_bytes(data)
            right = examiner.examine("model", path)
            assert right.outcome == "result", right
            mutate = Mutator(data, seed=[2], regions=outside_of_weights(data))
            for number in range(count):
                content = mutate(number)
                path.write_bytes(content)
                tally.add(f"{number} {name}", content, examiner.examine("model", path), right)
    tally.report("models", examiner)
    assert not tally.faults


def test_models_with_odd_metadata(tmp_path: Path) -> None:
    """Written by somebody, and sealed: refused, or used as they say."""
    tally, path = Tally(tmp_path), tmp_path / "mutated.onnx"
    with Examiner() as examiner:
        for number in range(2 * MODELS // 7):
            content = model_with_odd_metadata(number)
            path.write_bytes(content)
            tally.add(f"{number} metadata", content, examiner.examine("model", path), right=None)
    tally.report("models with odd metadata", examiner)
    assert not tally.faults


def test_mutated_engines(tmp_path: Path, build_inputs: Callable[..., Any]) -> None:
    """Every damaged engine is refused, before anything has opened it."""
    tally, path = Tally(tmp_path), tmp_path / "mutated.engine"
    engine, manifest = engine_and_manifest(build_inputs(builder="tensorrt-rtx", builder_version="1.7.1.116"))
    manifest_path(path).write_text(manifest.to_json())
    with Examiner() as examiner:
        path.write_bytes(engine)
        right = examiner.examine("engine", path)
        assert right.outcome == "result", right
        mutate = Mutator(engine, seed=[3])
        for number in range(ENGINES_AND_MANIFESTS // 3):
            content = mutate(number)
            path.write_bytes(content)
            finding = examiner.examine("engine", path)
            tally.add(f"{number} engine", content, finding, right=Finding("refused"))
    tally.report("engines", examiner)
    assert not tally.faults


def test_mutated_manifests(tmp_path: Path, build_inputs: Callable[..., Any]) -> None:
    """A damaged manifest is refused or says the same; one edited with care, checksum and all, is refused or used."""
    tally, path = Tally(tmp_path), tmp_path / "mutated.engine"
    engine, manifest = engine_and_manifest(build_inputs(builder="tensorrt-rtx", builder_version="1.7.1.116"))
    path.write_bytes(engine)
    text = manifest.to_json().encode()
    mutate = Mutator(text, seed=[4], regions=[(0, len(text))])
    with Examiner() as examiner:
        manifest_path(path).write_bytes(text)
        right = examiner.examine("engine", path)
        assert right.outcome == "result", right
        for number in range(ENGINES_AND_MANIFESTS // 3):
            content = mutate(number)
            manifest_path(path).write_bytes(content)
            tally.add(f"{number} manifest", content, examiner.examine("engine", path), right)
            content = manifest_with_odd_values(manifest, number).encode()
            manifest_path(path).write_bytes(content)
            tally.add(f"{number} edited manifest", content, examiner.examine("engine", path), right=None)
    tally.report("manifests", examiner)
    assert not tally.faults
