import time

import numpy as np
import pytest

from maskrt.evaluation.bench import paste as bench_paste
from maskrt.evaluation.bench import preprocess as bench_preprocess
from maskrt.evaluation.bench.operation import compare_operation
from maskrt.export.families.torchvision.operations import TorchvisionOperations


def test_record_of_an_operation():
    record = compare_operation("wait", (3, 4), ("slowly", lambda: time.sleep(0.02)), lambda: time.sleep(0.001), 3)
    assert record.operation == "wait"
    assert record.image_size == (3, 4)
    assert record.reference == "slowly"
    assert record.reference_seconds.median >= 0.02
    assert record.seconds.median >= 0.001
    assert record.ratio.least <= record.ratio.median <= record.ratio.most


def test_preprocessing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_preprocess, "_IMAGE_SIZES", ((48, 64),))
    rounded, exact = bench_preprocess.measure_preprocess(TorchvisionOperations(), repeats=1)
    assert rounded.operation == "preprocess to 800x1333, uint8"
    assert exact.operation == "preprocess to 800x1333, float32"
    assert rounded.image_size == exact.image_size == (48, 64)


def test_both_sides_of_pasting_give_the_same_strings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_paste, "_IMAGE_SIZES", ((120, 160),))
    torchvision = TorchvisionOperations()
    (record,) = bench_paste.measure_paste(torchvision, repeats=1)
    assert record.operation == "paste and encode 100 masks"
    assert record.reference == "torchvision + pycocotools"
    assert record.differing <= 1  # a float32 on the edge of 0.5
    instances = bench_paste.make_instances(5, (60, 80), np.random.default_rng(), torchvision.pipeline.paste)
    first, second = (bench_paste.paste_and_encode(torchvision, each)[0] for each in (instances, instances[1:]))
    assert first != second
