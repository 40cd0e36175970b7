"""`Segmenter.stream` and the stages behind it: the results of `predict`, and no image that harms another."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.contract.tensors import IMAGES
from maskrt.runtime import ArgumentError, ImageError, Instances, MaskrtError, ModelError, Segmenter
from maskrt.runtime.backends.base import Detections
from maskrt.runtime.streaming.pipeline import PipelineError
from maskrt.runtime.streaming.stages import BatchStages, Job, for_each, in_batches
from maskrt.runtime.streaming.stopwatch import Stopwatch
from maskrt.runtime.tiling.predict import predict_tiled

WriteModel = Callable[..., Path]
BAD = 13  # the grey level of images that the model cannot take


@pytest.fixture
def segmenter(write_model: WriteModel) -> Segmenter:
    return Segmenter(write_model(), threads=1)


def image_of(height: int, width: int, level: int = 100) -> np.ndarray:
    return np.full((height, width, 3), level, dtype=np.uint8)


def assert_same(found: Instances | MaskrtError, expected: Instances) -> None:
    assert isinstance(found, Instances)
    assert found.image_size == expected.image_size
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.rle() == expected.rle()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_stream_gives_what_predict_gives(segmenter: Segmenter, tmp_path: Path, batch_size: int) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), image_of(50, 20))
    images = [image_of(30 + 7 * i, 90 - 5 * i) for i in range(6)] + [tmp_path / "a.png", str(tmp_path / "a.png")]
    found = list(segmenter.stream(iter(images), batch_size=batch_size, score_threshold=0.1))
    assert len(found) == len(images)
    for instances, image in zip(found, images, strict=True):
        assert_same(instances, segmenter.predict(image, score_threshold=0.1))


def test_stream_of_real_photographs(shapes_onnx: Path, photographs: dict[str, np.ndarray]) -> None:
    segmenter = Segmenter(shapes_onnx, threads=1)
    images = [photographs["china.jpg"], photographs["chelsea"]]
    for found, image in zip(segmenter.stream(images), images, strict=True):
        assert_same(found, segmenter.predict(image))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_image_that_fails_gives_its_error(segmenter: Segmenter, tmp_path: Path, batch_size: int) -> None:
    (tmp_path / "text.png").write_text("not an image")
    images = [image_of(40, 40), tmp_path / "nowhere.jpg", image_of(60, 30), None, tmp_path / "text.png", image_of(9, 9)]
    found = list(segmenter.stream(images, batch_size=batch_size))  # type: ignore[arg-type]
    assert [type(one) for one in found] == [Instances, ImageError, Instances, ArgumentError, ImageError, Instances]
    assert "nowhere.jpg: there is no such file" in str(found[1])
    assert "got NoneType" in str(found[3])
    for i in (0, 2, 5):
        assert_same(found[i], segmenter.predict(images[i]))  # type: ignore[arg-type]


@pytest.fixture
def picky(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], list[int]]:
    """Makes the model fail on every batch with a BAD image; gives the sizes of the batches that it is run on."""
    run = segmenter._backend.run
    sizes: list[int] = []

    def make(error: BaseException) -> list[int]:
        def run_or_fail(feed: Mapping[str, np.ndarray]) -> Detections:
            images = feed[IMAGES]
            sizes.append(len(images))
            if (images == BAD).any():
                raise error
            return run(feed)

        monkeypatch.setattr(segmenter._backend, "run", run_or_fail)
        return sizes

    return make


@pytest.mark.parametrize("error", [ModelError("out of device memory"), MemoryError()])
def test_a_batch_that_fails_is_run_again_image_by_image(
    segmenter: Segmenter, picky: Callable[[BaseException], list[int]], error: Exception
) -> None:
    images = [image_of(40, 40), image_of(40, 40), image_of(40, 40, BAD), image_of(40, 40), image_of(20, 20)]
    expected = segmenter.predict(images[0])
    sizes = picky(error)
    found = list(segmenter.stream(images, batch_size=4))
    assert sizes == [4, 1, 1, 1, 1, 1]
    assert isinstance(found.pop(2), ModelError)
    assert len(found) == 4
    for instances in found[:3]:
        assert_same(instances, expected)


def test_an_image_alone_is_not_run_twice(segmenter: Segmenter, picky: Callable[[BaseException], list[int]]) -> None:
    sizes = picky(ModelError("no"))
    (found,) = segmenter.stream([image_of(40, 40, BAD)])
    assert str(found) == "no"
    assert sizes == [1]


def test_a_batch_that_does_not_fit_into_memory_is_prepared_image_by_image(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = segmenter.preprocess

    def preprocess_or_fail(images: list[np.ndarray]) -> object:
        if len(images) > 1 or images[0].shape[0] == 77:
            raise MemoryError
        return preprocess(images)

    monkeypatch.setattr(segmenter, "preprocess", preprocess_or_fail)
    found = list(segmenter.stream([image_of(40, 40), image_of(77, 40), image_of(40, 40)], batch_size=3))
    assert [type(one) for one in found] == [Instances, ModelError, Instances]
    assert str(found[1]) == "there is not enough memory for this image."


def test_damaged_results_of_one_image(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    run = segmenter._backend.run

    def run_and_damage(feed: Mapping[str, np.ndarray]) -> Detections:
        images = feed[IMAGES]
        detections = run(feed)
        boxes = detections.boxes.copy()
        boxes[(images == BAD).all(axis=3).any(axis=(1, 2))] = np.nan
        return detections._replace(boxes=boxes)

    monkeypatch.setattr(segmenter._backend, "run", run_and_damage)
    found = list(segmenter.stream([image_of(40, 40), image_of(40, 40, BAD), image_of(40, 40)], batch_size=3))
    assert [type(one) for one in found] == [Instances, ModelError, Instances]
    assert "not finite" in str(found[1])


def test_each_image_of_a_batch_gets_its_own(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    run = segmenter._backend.run

    def run_and_vary(feed: Mapping[str, np.ndarray]) -> Detections:
        images = feed[IMAGES]
        detections = run(feed)
        scores = detections.scores + np.arange(len(images), dtype=np.float32)[:, None]
        numbers = np.arange(len(images), dtype=np.int32)
        return detections._replace(scores=scores, num_detections=numbers)

    monkeypatch.setattr(segmenter._backend, "run", run_and_vary)
    found = list(segmenter.stream([image_of(40, 40)] * 3, batch_size=3))
    assert [one.scores.tolist() for one in found if isinstance(one, Instances)] == [
        [],
        [pytest.approx(1.9)],
        [pytest.approx(2.9), pytest.approx(2.6)],
    ]


def test_a_model_without_masks(write_model: WriteModel) -> None:
    (found, _) = Segmenter(write_model(masks=False)).stream([image_of(30, 30)] * 2, batch_size=2)
    assert isinstance(found, Instances)
    assert found.mask_probabilities is None


def test_images_are_taken_as_results_are(segmenter: Segmenter) -> None:
    taken = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield image_of(20, 20)

    stream = segmenter.stream(camera())
    assert taken == 0
    for consumed in range(1, 30):
        assert isinstance(next(stream), Instances)
        assert taken <= consumed + 6
    stream.close()  # type: ignore[attr-defined]
    assert "infer" not in [thread.name for thread in threading.enumerate()]


def test_errors_of_the_source_and_of_the_program(
    segmenter: Segmenter, picky: Callable[[BaseException], list[int]]
) -> None:
    def camera(images: list[np.ndarray]) -> Iterator[np.ndarray]:
        yield from images
        raise ConnectionError("unplugged")

    found: list[Instances | MaskrtError] = []
    with pytest.raises(ConnectionError, match="unplugged"):
        found.extend(segmenter.stream(camera([image_of(20, 20)] * 5), batch_size=3))
    assert len(found) == 5

    picky(SystemExit(0))
    found = []
    with pytest.raises(PipelineError, match="The infer stage failed: SystemExit 0"):
        found.extend(segmenter.stream([image_of(20, 20), image_of(20, 20), image_of(20, 20, BAD), image_of(20, 20)]))
    assert len(found) == 2


def test_arguments_are_checked_at_once(segmenter: Segmenter) -> None:
    for arguments, message in (
        ({"batch_size": 0}, "batch_size should be at least 1"),
        ({"score_threshold": 2}, "score_threshold should be between 0 and 1"),
        ({"nms_threshold": -1}, "nms_threshold should be between 0 and 1"),
    ):
        with pytest.raises(ArgumentError, match=message):
            segmenter.stream([], **arguments)
    for one in ("a.jpg", Path("a.jpg"), image_of(8, 8)):
        with pytest.raises(ArgumentError, match="stream expects several images, but got one"):
            segmenter.stream(one)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_eight_streams_of_one_segmenter_and_one_that_dies(segmenter: Segmenter) -> None:
    images = [image_of(30 + 9 * i, 90 - 7 * i) for i in range(6)]
    expected = [segmenter.predict(image) for image in images]
    found: dict[int, list[Instances | MaskrtError]] = {number: [] for number in range(8)}

    def work(number: int) -> None:
        for instances in segmenter.stream(images[number % 6 :] + images[: number % 6]):
            found[number].append(instances)
            if number == 3 and len(found[number]) == 2:
                raise SystemExit  # in the middle: the other threads go on

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    for number, results in found.items():
        assert len(results) == (2 if number == 3 else 6)
        for i, instances in enumerate(results):
            assert_same(instances, expected[(number + i) % 6])


def test_failed_images_are_let_go_of() -> None:
    """Not only by the garbage collector: an error's traceback and the job would hold each other."""
    job = Job(None, image=image_of(10, 10))
    reference = weakref.ref(job)
    gc.disable()
    try:

        def fail(job: Job) -> None:
            raise ModelError("no")

        for_each([job], fail)
        assert str(job.error) == "no"
        del job
        assert reference() is None
    finally:
        gc.enable()


def test_jobs_that_have_failed_are_left_alone() -> None:
    jobs = [Job(1), Job(2, error=ModelError("before")), Job(3)]
    seen = []
    for_each(jobs, lambda job: seen.append(job.source))
    assert seen == [1, 3]


def test_in_batches() -> None:
    assert list(in_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(in_batches([], 2)) == []


def test_one_image_at_a_time(segmenter: Segmenter) -> None:
    image = image_of(100, 150)
    stages = BatchStages(segmenter, score_threshold=0.1, nms_threshold=None, stopwatch=Stopwatch())
    jobs = [Job(image), Job(None)]
    predict = partial(predict_tiled, segmenter, tile_size=(64, 80), batch_size=2, score_threshold=0.1)
    for stage in stages.image_stages(predict):
        jobs = stage.function(jobs)
    assert jobs[0].instances is not None
    expected = predict_tiled(segmenter, image, tile_size=(64, 80), score_threshold=0.1)
    np.testing.assert_array_equal(jobs[0].instances.boxes, expected.boxes)
    assert isinstance(jobs[1].result, ArgumentError)
