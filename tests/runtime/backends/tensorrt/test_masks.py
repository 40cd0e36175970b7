"""Masks of engines to run lengths on the GPU; the kernels' arithmetic is tested with the plugins."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrt.runtime import ModelError, Segmenter

from ....support.pipelines import pipeline_of

Both = tuple[Segmenter, Segmenter]


@pytest.fixture(params=["torchvision", "detectron2"])
def both(
    request: pytest.FixtureRequest,
    write_model: Callable[..., Path],
    write_engine: Callable[..., Path],
    install: Callable[..., Any],
) -> Both:
    """A model as an engine and in ONNX Runtime."""
    install()
    model = write_model(pipeline=asdict(pipeline_of(request.param, min_size=64, max_size=128)))
    return Segmenter(write_engine(model)), Segmenter(model, threads=1)


def image_of(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_the_run_lengths_are_those_of_the_cpu(both: Both, machine: Any) -> None:
    engine, reference = both
    for size in ((64, 64), (90, 200), (300, 40)):
        found, expected = engine.predict(image_of(*size)), reference.predict(image_of(*size))
        machine.log.clear()
        assert found.rle() == expected.rle()
        assert machine.names().count("paste") == 1
        assert found[[1]].rle() == expected[[1]].rle()
        assert found[[]].rle() == []


def test_memory_is_kept(both: Both, machine: Any) -> None:
    found = both[0].predict(image_of(90, 90))
    found.rle()
    with machine.no_allocation():
        found.rle()


def test_more_runs_than_expected(both: Both, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from maskrt.runtime.backends.tensorrt import masks

    monkeypatch.setattr(masks, "_usual_counts", lambda boxes, width: 3)
    engine, reference = both
    found = engine.predict(image_of(64, 64))
    machine.log.clear()
    assert found.rle() == reference.predict(image_of(64, 64)).rle()
    assert machine.names().count("paste") == 2


def test_what_the_gpu_has_no_room_for(both: Both, machine: Any) -> None:
    """The kernels refuse so large an image; no memory is left."""
    engine, reference = both
    assert engine.predict(image_of(1100, 1100)).rle() == reference.predict(image_of(1100, 1100)).rle()
    found = engine.predict(image_of(64, 64))
    machine.total = machine.used()
    assert found.rle() == reference.predict(image_of(64, 64)).rle()


def test_a_gpu_that_fails(both: Both, machine: Any, fake_cuda: Any) -> None:
    found = both[0].predict(image_of(32, 32))
    machine.failing["cudaStreamSynchronize"] = fake_cuda.cudaError_t.cudaErrorIllegalAddress
    with pytest.raises(ModelError, match=r"masks could not be pasted: the GPU failed.*IllegalAddress"):
        found.rle()


def test_several_threads(both: Both) -> None:
    engine, reference = both
    sizes = [(64, 64 + 8 * i) for i in range(6)]
    found = [engine.predict(image_of(*size)) for size in sizes]
    expected = [reference.predict(image_of(*size)).rle() for size in sizes]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda instances: instances.rle(), found)) == expected


def test_instances_for_another_process(both: Both, machine: Any) -> None:
    """They take the CPU there."""
    found = both[0].predict(image_of(64, 64))
    expected = found.rle()
    machine.log.clear()
    assert pickle.loads(pickle.dumps(found)).rle() == expected
    assert machine.log == []
