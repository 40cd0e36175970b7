"""A model in an actor: pictures in, rows out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskrt.contract.tensors import check_one_threshold
from maskrt.errors import ArgumentError, ImageError, MaskrtError
from maskrt.ray.rows import Row, failed_row, found_row, to_table
from maskrt.runtime.images.read import MAX_PIXELS, check_file
from maskrt.runtime.questions.batches import Batches
from maskrt.runtime.questions.question import PictureLimits, Question
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.structures.instances import Instances

if TYPE_CHECKING:
    import pyarrow

_AT_ONCE = 4  # batches that are in memory, decoded


class Predictor:
    """Finds the instances in pictures, for `ray.data.Dataset.map_batches`.

        files = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
        rows = files.map_batches(Predictor, fn_constructor_args=["model.onnx"], batch_size=32, num_gpus=1,
                                 compute=ray.data.ActorPoolStrategy(size=4))
        rows.write_parquet("s3://bucket/instances")

    A picture that fails is a row with its error. Only pictures whose canvases have one size are run together, so that
    each has the results of `Segmenter.predict`. The model is loaded in the actor, when it gets its first pictures.

    Args:
        model: a model file, which every node has at this path.
        batch_size: pictures in a run of the model at the most.
        score_threshold, nms_threshold: as for `Segmenter.predict`; None: the model's own.
        threads: CPU threads; None: one per core, which is too many where several actors share a node.
        max_pixels: pictures with more are not decoded.
    """

    def __init__(
        self,
        model: str,
        *,
        batch_size: int = 4,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._model, self._batch_size, self._threads, self._max_pixels = model, batch_size, threads, max_pixels
        self._given = {"score_threshold": score_threshold, "nms_threshold": nms_threshold}
        self._loaded: tuple[Batches, tuple[float, float]] | None = None

    def load(self) -> None:
        """Load the model, unless it is loaded already.

        Raises:
            MaskrtError: it cannot be loaded here, or a threshold is none.
        """
        if self._loaded is None:
            segmenter = Segmenter(Path(self._model), threads=self._threads)
            score, nms = (
                check_one_threshold(name, value, getattr(segmenter.metadata, name))
                for name, value in self._given.items()
            )
            limits = PictureLimits(sys.maxsize, self._max_pixels)  # its user's own files, as of `maskrt infer`
            self._loaded = Batches(segmenter, self._batch_size, limits), (score, nms)

    def __call__(self, batch: Mapping[str, Any]) -> pyarrow.Table:
        """Return a row for each picture of a batch, see `ray.rows`.

        Args:
            batch: columns: `path`, and `bytes` where the files have been read already.

        Raises:
            ArgumentError: there is no `path`.
            MaskrtError: as `load`.
        """
        if "path" not in batch:
            raise ArgumentError(
                f"Expected a column path, and bytes where files have been read, but got {', '.join(batch)}: "
                "`ray.data.read_binary_files(…, include_paths=True)` makes both."
            )
        paths = [str(path) for path in batch["path"]]
        contents = [bytes(content) for content in batch["bytes"]] if "bytes" in batch else None
        return to_table(self.rows(paths, contents))

    def rows(self, paths: Sequence[str], contents: Sequence[bytes] | None = None) -> list[Row]:
        """Return the row of each picture.

        Args:
            paths: of the files.
            contents: of the files; None: they are read here.

        Raises:
            MaskrtError: as `load`.
        """
        self.load()
        rows, step = list[Row](), _AT_ONCE * self._batch_size
        for start in range(0, len(paths), step):
            chosen = slice(start, start + step)
            rows += self._some_rows(paths[chosen], None if contents is None else contents[chosen])
        return rows

    def _some_rows(self, paths: Sequence[str], contents: Sequence[bytes] | None) -> list[Row]:
        assert self._loaded is not None
        batches, thresholds = self._loaded
        read = list(map(_read, paths)) if contents is None else contents
        questions = [Question(content, *thresholds) for content in read if isinstance(content, bytes)]
        answers = iter(batches.answer(questions))
        results = [next(answers) if isinstance(content, bytes) else content for content in read]
        return [_row(path, result) for path, result in zip(paths, results, strict=True)]


def _row(path: str, result: Instances | Exception) -> Row:
    if isinstance(result, Instances):
        try:
            return found_row(path, result)
        except (MaskrtError, MemoryError) as error:
            result = error
    return failed_row(path, str(result) or "There is no memory left for this picture.")


def _read(path: str) -> bytes | ImageError:
    try:
        check_file(Path(path))
        content = Path(path).read_bytes()
    except ImageError as error:
        return error
    except OSError as error:
        return ImageError(f"{path} cannot be read: {error.strerror or error}.")
    return content or ImageError(f"{path} is empty (0 bytes).")
