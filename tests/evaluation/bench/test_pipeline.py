from pathlib import Path
from typing import Any

import pytest

from maskrt.errors import ModelError
from maskrt.evaluation.bench import pipeline as bench_pipeline
from maskrt.evaluation.bench import timing
from maskrt.evaluation.bench.pipeline import measure_pipeline
from maskrt.evaluation.bench.sides import Side
from maskrt.evaluation.results.bench import STAGES, Failure, PeakMemory, Seconds, Speedup

BATCHES = [[Path("a"), Path("b")], [Path("b"), Path("a")]]


@pytest.fixture
def make_side(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes sides whose stages take a given time on a clock that nothing else moves."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(bench_pipeline, "peak_memory", lambda opener, batches: PeakMemory(opener(), None))

    def make(name: str, *seconds: float, largest_batch: int = 8) -> Side:
        def stage(duration: float) -> Any:
            def run(value: list[Any]) -> list[Any]:
                if len(value) > largest_batch:
                    raise ModelError(f"{name} takes {largest_batch}")
                now[0] += duration
                return [["instance", "instance"], ["instance"]] if value in BATCHES else value

            return run

        return Side(name, "fp32", "none", "", [stage(duration) for duration in seconds])

    return make


def test_records_by_hand(make_side: Any) -> None:
    sides = [make_side("slow", 1, 2, 4, 1, 0), make_side("fast", 1, 0.25, 0.5, 0.25, 0)]
    records, failed = measure_pipeline([lambda: 700, lambda: 300], sides, BATCHES, repeats=3, warm_up=1)
    assert failed == []
    slow, fast = records
    assert [getattr(slow.seconds, stage).median for stage in STAGES] == [1, 2, 4, 1, 0]
    assert slow.seconds.total == Seconds(8, 8, 8)
    assert fast.seconds.total.median == 2
    assert fast.images_per_second == 1
    assert slow.speedup == Speedup(1, 1, 1, reference="slow")
    assert fast.speedup == Speedup(4, 4, 4, reference="slow")
    assert (slow.peak_memory.host, fast.peak_memory.host) == (700, 300)
    assert fast.detections_per_image == 1.5


def test_a_side_that_cannot_run_the_batch_does_not_stop_the_others(make_side: Any) -> None:
    sides = [make_side("small", 1, 1, 1, 1, 1, largest_batch=1), make_side("large", 1, 1, 1, 1, 1)]
    records, failed = measure_pipeline([lambda: 1, lambda: 1], sides, BATCHES, repeats=1, warm_up=1)
    assert [record.name for record in records] == ["large"]
    assert records[0].speedup.reference == "large"
    assert failed == [Failure("small", 2, None, "small takes 1")]
    assert measure_pipeline([lambda: 1], sides[:1], BATCHES, repeats=1, warm_up=1)[0] == []
