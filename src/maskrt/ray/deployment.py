"""A deployment for Ray Serve: `serve run maskrt.ray.deployment:application model=/models/model.onnx num_gpus=1`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from maskrt.contract.tensors import check_count
from maskrt.errors import ArgumentError, DependencyError, ImageError
from maskrt.ray.rows import found_row
from maskrt.runtime.images.read import ImageTooLargeError
from maskrt.runtime.questions.batches import Batches
from maskrt.runtime.questions.question import PictureLimits, Question, read_threshold
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.structures.instances import Instances

_THRESHOLDS = ("score_threshold", "nms_threshold")
_NUMBERS = {
    "num_replicas": int,
    "num_cpus": float,
    "num_gpus": float,
    "batch_size": int,
    "batch_wait_seconds": float,
    "max_bytes": int,
    "max_pixels": int,
}
_LIMITS = PictureLimits()


class Replica:
    """A model in a process of Ray Serve's.

    Args:
        model: a model file, which every node has at this path.
        threads: CPU threads.
        batch_size: pictures in a run of the model at the most.
        limits: what is taken.

    Raises:
        MaskrtError: it cannot be loaded.
    """

    def __init__(self, model: str, *, threads: int, batch_size: int, limits: PictureLimits = _LIMITS) -> None:
        segmenter = Segmenter(Path(model), threads=threads)
        self.metadata = segmenter.metadata
        self._batches = Batches(segmenter, batch_size, limits)

    def question(self, picture: bytes, given: Mapping[str, Any]) -> Question:
        """Return what is asked.

        Args:
            picture: an image file.
            given: the thresholds that are given, by name, as numbers or as text.

        Raises:
            ArgumentError: an option that there is not, or a threshold that is none.
        """
        for name in given:
            if name not in _THRESHOLDS:
                raise ArgumentError(f"There is no option {name[:50]!r}; there are {', '.join(_THRESHOLDS)}.")
        values = (read_threshold(name, given.get(name), getattr(self.metadata, name)) for name in _THRESHOLDS)
        return Question(picture, *values)

    def answer(self, questions: list[Question]) -> list[Instances | Exception]:
        """Return the instances of each picture, or why there are none."""
        return self._batches.answer(questions)


def application(arguments: Mapping[str, str]) -> Any:
    """Build the application from what stands behind `serve run` or in a configuration file.

    Args:
        arguments: `model`, and those of `build` that are to be others.

    Raises:
        ArgumentError: one that there is not, or that is no number.
    """
    unknown = next((name for name in arguments if name != "model" and name not in _NUMBERS), None)
    if unknown is not None or "model" not in arguments:
        problem = "model=FILE is missing" if unknown is None else f"there is no {unknown}"
        raise ArgumentError(f"Expected model=FILE, and maybe {', '.join(_NUMBERS)}, but {problem}.")
    numbers = {}
    for name, kind in _NUMBERS.items():
        if name in arguments:
            try:
                numbers[name] = kind(arguments[name])
            except ValueError:
                raise ArgumentError(f"{name} should be a number, but is {arguments[name]!r}.") from None
    return build(arguments["model"], **numbers)


def build(
    model: str,
    *,
    num_replicas: int = 1,
    num_cpus: float = 1,
    num_gpus: float = 0,
    batch_size: int = 4,
    batch_wait_seconds: float = 0.002,
    max_bytes: int = PictureLimits.max_bytes,
    max_pixels: int = PictureLimits.max_pixels,
) -> Any:
    """Return the application: `ray.serve.run(build("model.onnx"))`.

    Over HTTP it takes a picture as the body of a POST, with `?score_threshold=` and `?nms_threshold=`, and answers with
    `image_size` and `instances`, COCO records. By its handle, `handle.predict.remote(picture, score_threshold=0.5)`
    gives `Instances`. Pictures of several requests are run together, each with its own thresholds and with the results
    of `Segmenter.predict`.

    Args:
        model: a model file, which every node has at this path.
        num_replicas: processes.
        num_cpus, num_gpus: of each.
        batch_size: pictures in a run of the model at the most.
        batch_wait_seconds: that a picture waits for others.
        max_bytes: of an image file.
        max_pixels: of a picture, told by its header before it is decoded.

    Raises:
        DependencyError: Ray Serve is not installed.
        ArgumentError: a number of things below 1.
    """
    check_count("num_replicas", num_replicas)
    check_count("batch_size", batch_size)
    check_count("max_bytes", max_bytes)
    check_count("max_pixels", max_pixels)
    limits = PictureLimits(max_bytes, max_pixels)
    try:
        from ray import serve
        from starlette.requests import Request
        from starlette.responses import Response
    except ImportError:
        raise DependencyError("A deployment needs Ray Serve: `pip install maskrt[ray]`.") from None

    class Maskrt:
        def __init__(self) -> None:
            threads = max(int(num_cpus), 1)
            self.replica = Replica(model, threads=threads, batch_size=batch_size, limits=limits)

        @serve.batch(max_batch_size=batch_size, batch_wait_timeout_s=batch_wait_seconds)
        async def answers(self, questions: list[Question]) -> list[tuple[Instances | Exception]]:
            work = partial(self.replica.answer, questions)
            found = await asyncio.get_running_loop().run_in_executor(None, work)
            return [(result,) for result in found]  # an exception alone would be raised for all of them

        async def predict(self, picture: bytes, /, **thresholds: float | str) -> Instances:
            (result,) = await self.answers(self.replica.question(picture, thresholds))
            if isinstance(result, Exception):
                raise result
            return result

        async def __call__(self, request: Request) -> Response:
            if request.method != "POST":
                return _json({"error": "Expected a POST whose body is a picture."}, 405)
            chunks, size = list[bytes](), 0
            async for chunk in request.stream():
                size += len(chunk)
                if size <= max_bytes:
                    chunks.append(chunk)
            if size > max_bytes:
                return _json({"error": f"The body has more than the {max_bytes:,} bytes that are taken."}, 413)
            try:
                found = await self.predict(b"".join(chunks), **dict(request.query_params))
            except ImageTooLargeError as error:
                return _json({"error": str(error)}, 413)
            except (ArgumentError, ImageError) as error:
                return _json({"error": str(error)}, 400)
            row = found_row("", found)
            return _json({"image_size": list(found.image_size), "instances": row["instances"]}, 200)

    def _json(content: Mapping[str, Any], status: int) -> Response:
        body = json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")
        return Response(body, status, media_type="application/json")

    options = {"num_cpus": num_cpus, "num_gpus": num_gpus}
    deployment = serve.deployment(
        name="maskrt", num_replicas=num_replicas, ray_actor_options=options, max_ongoing_requests=4 * batch_size
    )
    return deployment(Maskrt).bind()
