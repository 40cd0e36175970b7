"""Images in, instances out."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn, overload

import numpy as np

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.tensors import Threshold, check_count, check_one_threshold, check_threshold, make_feed
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.runtime.backends.base import Backend, Detections
from maskrt.runtime.backends.registry import open_backend
from maskrt.runtime.images.read import check_image, is_image, read_image
from maskrt.runtime.postprocess import make_instances
from maskrt.runtime.streaming.pipeline import Outcome, run_pipeline
from maskrt.runtime.streaming.stages import BatchStages, ImageLike, Job, in_batches
from maskrt.runtime.streaming.stopwatch import Stopwatch
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.transforms.canvas import Batch, make_batch
from maskrt.runtime.transforms.filters.registry import FILTERS


class Segmenter:
    """A trained model, ready for use.

        segmenter = Segmenter("model.onnx")
        instances = segmenter.predict("street.jpg")
        print(instances)                              # Instances(3 in 640x427 px: 2 person, 1 dog)
        instances[instances.scores > 0.8].rle()

    `predict` is `preprocess`, `infer` and `postprocess` one after the other; `stream` does them at the same time on
    successive images. All of them may be called from several threads.

    Args:
        path: a model file: `.onnx` runs in ONNX Runtime, `.engine` in TensorRT on the current GPU, `.openvino.xml` in
            OpenVINO on the CPU.
        providers: ONNX Runtime execution providers, first choice first, e.g. `["CPUExecutionProvider"]`.
            None: CUDA if the installed ONNX Runtime has it, else the CPU.
        threads: CPU threads of the inference engine. None: one per core. (The threads in which OpenCV resizes are
            set for the whole process, with `cv2.setNumThreads`.)
        warm_up: (batch, height, width) of images that it shall be ready for. The first runs of an engine at a shape
            take longer: TensorRT-RTX compiles kernels, memory is taken, a CUDA graph is captured.

    Raises:
        ModelError: the file is missing, damaged, not a maskrt model, or from a newer maskrt; or it failed to warm up.
        DependencyError: the inference engine's package is not installed, or what the model's images are resized with.
        ArgumentError: unknown provider, fewer than 1 thread, or shapes to warm up for that are none, or beyond what an
            engine was built for.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        warm_up: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        if threads is not None:
            check_count("threads", threads)
        self._use(open_backend(Path(path), providers=providers, threads=threads), Path(path))
        self.warm_up(warm_up)

    @classmethod
    def of(cls, backend: Backend, path: Path) -> "Segmenter":
        """Return a segmenter whose inference engine is open already, for example in a server.

        Args:
            backend: the engine.
            path: what messages call the model.

        Raises:
            DependencyError: what the model's images are resized with is not installed.
        """
        segmenter = cls.__new__(cls)
        segmenter._use(backend, path)
        return segmenter

    def _use(self, backend: Backend, path: Path) -> None:
        self.path = path
        self._backend = backend
        if not backend.resizes:
            FILTERS[self.metadata.pipeline.resize.filter].require()

    def warm_up(self, shapes: Sequence[tuple[int, int, int]]) -> None:
        """Get ready for more shapes, (batch, height, width) of images; see the argument of this name."""
        for shape in shapes:
            if len(shape) != 3 or min(shape) < 1:
                raise ArgumentError(
                    f"warm_up expects (batch, height, width) of images, each at least 1, but got {tuple(shape)}."
                )
        for number, height, width in sorted(shapes, key=lambda shape: -shape[0]):  # memory grows with the batch
            batch = self.preprocess([np.zeros((height, width, 3), np.uint8)] * number)
            for _ in range(2):  # from the second on, an engine's kernels are launched as a graph
                self.infer(batch)

    @property
    def metadata(self) -> ModelMetadata:
        """What the model file says about itself: class names, resize policy, default thresholds, ..."""
        return self._backend.metadata

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label; label 0 is the background."""
        return self._backend.metadata.class_names

    @property
    def input_dtype(self) -> np.dtype:
        """uint8 or float32: whether resized grey levels are rounded before the model sees them."""
        return self._backend.input_dtype

    @property
    def providers(self) -> tuple[str, ...]:
        """The devices that do the work, first choice first."""
        return self._backend.providers

    @property
    def runs_at_once(self) -> int:
        """How many calls of `infer` at the same time keep the device busy."""
        return self._backend.runs_at_once

    def __reduce__(self) -> NoReturn:
        """Say that a segmenter stays in its process: pickle, copies and pools of processes ask here.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError(
            "A Segmenter cannot be pickled or copied: it holds an inference engine. Give the path, and open it in each "
            f"process: Segmenter({str(self.path)!r}). Several threads can share one."
        )

    def __repr__(self) -> str:
        metadata = self.metadata
        return (
            f"Segmenter({self.path.name}: {metadata.model_family}, {len(self.class_names) - 1} classes, "
            f"{metadata.precision}, {self.input_dtype} input, {self.providers[0]}"
            f"{'' if metadata.verified else ', not compared with its source model'})"
        )

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an image, never a sequence of them
        self, images: ImageLike, *, score_threshold: Threshold | None = None, nms_threshold: Threshold | None = None
    ) -> Instances: ...
    @overload
    def predict(
        self,
        images: Sequence[ImageLike],
        *,
        score_threshold: Threshold | None = None,
        nms_threshold: Threshold | None = None,
    ) -> list[Instances]: ...
    def predict(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        score_threshold: Threshold | None = None,
        nms_threshold: Threshold | None = None,
    ) -> Instances | list[Instances]:
        """Find the instances in one image, or in several as one batch.

        Args:
            images: a uint8 RGB array [H, W, 3], a PIL image, a tensor of this shape, the path of an image file, or a
                sequence of these. Sizes may differ: as in torchvision, smaller images of a batch are padded to the
                largest. TensorRT engines take arrays on the GPU, too (see `device_arrays`), and read them there.
            score_threshold: only instances with a higher score, 0 to 1. One for all images, or one for each. None: the
                source model's.
            nms_threshold: of two boxes of a class that overlap by more than this IoU, 0 to 1, only the better
                one stays. One for all images, or one for each. None: the source model's.

        Returns:
            `Instances` for one image, a list of them for a sequence.

        Raises:
            ArgumentError: not an image, or a threshold outside of 0 to 1.
            ImageError: an image file cannot be read.
            ModelError: the inference engine failed.
        """
        single = isinstance(images, (str, Path)) or is_image(images)
        if not single and not isinstance(images, Sequence):
            check_image(images)  # says what was expected
        batch_images: Sequence[ImageLike] = [images] if single else images  # type: ignore[list-item, assignment]
        if not batch_images:
            return []
        batch = self.preprocess([self.read(image) for image in batch_images])
        detections = self.infer(batch, score_threshold=score_threshold, nms_threshold=nms_threshold)
        results = self.postprocess(detections, batch)
        return results[0] if single else results

    def stream(
        self,
        images: Iterable[ImageLike],
        *,
        batch_size: int = 1,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
    ) -> Iterator[Instances | MaskrtError]:
        """Find the instances in any number of images, at the speed of the slowest step.

            for path, found in zip(paths, segmenter.stream(paths)):
                print(path, found)

        While the model runs on one batch, the next is read and resized and the last one is finished, each in a thread
        of its own. `images` is iterated in such a thread too, a few batches ahead of the results and never further.
        The threads end with the iteration, also when it is broken off (then once `images` has given the one that is
        being waited for).

        Args:
            images: as for `predict`, any number of them; may be a generator.
            batch_size: how many images the model sees at once.
            score_threshold, nms_threshold: as for `predict`, one for all images.

        Yields:
            For each image, in order, what `predict` returns; or, where `predict` would raise a `MaskrtError` because
            of this image, that error. The other images of its batch are not affected.

        Raises:
            ArgumentError: a threshold outside of 0 to 1, a batch size below 1, or a single image; at once.
            Exception: what iterating `images` raises, after the results of all images before it.
            PipelineError: a step ended in an error that maskrt does not raise; its `__cause__` says in which.
        """
        if isinstance(images, (str, Path)) or (is_image(images) and len(getattr(images, "shape", (0, 0, 0))) == 3):
            raise ArgumentError("stream expects several images, but got one. Put it into a list: stream([image]).")
        check_count("batch_size", batch_size)
        stages = BatchStages(
            self,
            score_threshold=check_one_threshold("score_threshold", score_threshold, self.metadata.score_threshold),
            nms_threshold=check_one_threshold("nms_threshold", nms_threshold, self.metadata.nms_threshold),
            stopwatch=Stopwatch(),
        ).stages()
        return _results(run_pipeline(in_batches(map(Job, images), batch_size), stages))

    def read(self, image: ImageLike) -> np.ndarray:
        """Read an image file, or check an array: what `preprocess` takes. Same errors as `predict`."""
        if isinstance(image, (str, Path)):
            return read_image(image)
        return check_image(image, on_gpu=self._backend.resizes)

    def preprocess(self, images: Sequence[np.ndarray]) -> Batch:
        """Resize uint8 RGB images [H, W, 3] and lay them on one canvas. The first stage of `predict`.

        TensorRT engines resize on the GPU, with the same result: there this stage only says how the images will lie.
        """
        return make_batch(images, self.metadata.pipeline, self.input_dtype, resize=not self._backend.resizes)

    def infer(
        self, batch: Batch, *, score_threshold: Threshold | None = None, nms_threshold: Threshold | None = None
    ) -> Detections:
        """Run the model on a batch. The second stage of `predict`; same thresholds, same errors."""
        score = check_threshold("score_threshold", score_threshold, self.metadata.score_threshold)
        nms = check_threshold("nms_threshold", nms_threshold, self.metadata.nms_threshold)
        images = batch.frames if self._backend.resizes else batch.canvas
        return self._backend.run(make_feed(images, batch.image_sizes, score, nms))

    def postprocess(self, detections: Detections, batch: Batch) -> list[Instances]:
        """Bring detections back to the original images. The last stage of `predict`.

        Raises:
            ModelError: the detections are none that a sound model gives.
        """
        return make_instances(detections, batch, self.metadata, self.path, self._backend.paste_counts)


def _results(outcomes: Generator[Outcome[list[Job]]]) -> Iterator[Instances | MaskrtError]:
    with closing(outcomes):
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.failure()
            for job in outcome.item:
                yield job.result
