"""bench.json: latency, throughput and memory of model files beside PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from maskrt.evaluation.environment import Environment


@dataclass(frozen=True)
class Seconds:
    """Wall time of a call over the turns: median, 90th and 99th percentile."""

    median: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Ratio:
    """How many times faster one side is than the other, turn by turn: the median, and the extremes."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.3g}x ({self.least:.3g}x to {self.most:.3g}x)"


@dataclass(frozen=True)
class Speedup(Ratio):
    """How many times faster a side is than the side of the name `reference`."""

    reference: str


@dataclass(frozen=True)
class StageSeconds:
    """Of a batch, in each stage from image files to COCO run-length encodings, and in all of them."""

    decode: Seconds
    preprocess: Seconds
    infer: Seconds
    postprocess: Seconds
    rle: Seconds
    total: Seconds


STAGES = tuple(field.name for field in fields(StageSeconds))[:-1]
"""From the paths of image files to COCO run-length encodings, each stage on the whole batch."""


@dataclass(frozen=True)
class PeakMemory:
    """In bytes; None where this machine does not tell.

    Attributes:
        host: the most memory that the process had resident, its libraries included.
        device: the memory of the GPU that it holds after its runs; engines and caching allocators keep what they once
            took, so that this is the peak.
    """

    host: int | None
    device: int | None


@dataclass(frozen=True)
class PipelineRecord:
    """One side on batches of one size.

    Attributes:
        name: of the model file, or "PyTorch", "PyTorch compiled".
        precision: for example "int8".
        backend: the engine and the device it ran on, for people.
        batch: images in a batch.
        picture_size: (height, width) that the pictures were stretched to; None: as they are.
        detections_per_image: the mean.
        seconds: of a batch.
        images_per_second: the batch over the median of the total.
        overlapped_images_per_second: with the stages of one batch beside those of others; None where the stages can
            only follow each other.
        speedup: over the first side that works.
        peak_memory: in a process of its own.
    """

    name: str
    precision: str
    backend: str
    batch: int
    picture_size: tuple[int, int] | None
    detections_per_image: float
    seconds: StageSeconds
    images_per_second: float
    overlapped_images_per_second: float | None
    speedup: Speedup
    peak_memory: PeakMemory


@dataclass(frozen=True)
class Failure:
    """A side that could not run a batch, for example an engine built for smaller ones; `reason` is a sentence."""

    name: str
    batch: int
    picture_size: tuple[int, int] | None
    reason: str


@dataclass(frozen=True)
class OperationRecord:
    """One operation of the runtime beside the function of another library that it replaces.

    Attributes:
        operation: what is done.
        image_size: (height, width).
        reference: the name of the other side.
        reference_seconds, seconds: of a call, theirs and ours.
        ratio: how many times faster ours is.
        differing: how many results are not the same on both sides; None: that was not counted.
    """

    operation: str
    image_size: tuple[int, int]
    reference: str
    reference_seconds: Seconds
    seconds: Seconds
    ratio: Ratio
    differing: int | None = None


@dataclass(frozen=True)
class ServerMemory:
    """Resident memory of a server's process, in bytes, while it had nothing to do.

    Attributes:
        before: behind the warm-up of the clients, and in front of the load of a rate.
        after: behind the last answer.
        growth: by how much of `before`; negative: it has less.
    """

    before: int
    after: int
    growth: float


@dataclass(frozen=True)
class StreamRecord:
    """`Segmenter.stream` of the same model and pictures, in turns with the server.

    Attributes:
        batch: images in a batch.
        images_per_second: the median of the turns.
        ratio: how many times as many the server answered.
    """

    batch: int
    images_per_second: float
    ratio: Ratio


@dataclass(frozen=True)
class ServingRecord:
    """A server under load.

    Attributes:
        name: of the model.
        clients: that sent their next request when they had an answer; None: requests came at times of their own.
        rate: requests a second that were sent, on the average; None: those of the clients.
        duration: seconds from the first request to the last answer.
        sent: requests: the sum of the next five.
        answered: those with a result that is right, or deviates.
        busy: those that were asked to come back (503).
        failed: those with another status, or a result that is none.
        lost: those without any.
        mixed_up: those with the result of another picture.
        deviating: of those answered, the ones whose result is not bit for bit that of the picture alone.
        seconds: of those answered: from when they were due, or were sent by a client.
        answers_per_second: those answered over the duration.
        batches: how many runs of the model had how many pictures; empty where the server does not say.
        queue_seconds: that a picture waited for the model, the mean; None where the server does not say.
        memory: of the server; None where it does not say.
        streams: the same work without a server, for each size of a batch.
    """

    name: str
    clients: int | None
    rate: float | None
    duration: float
    sent: int
    answered: int
    busy: int
    failed: int
    lost: int
    mixed_up: int
    deviating: int
    seconds: Seconds
    answers_per_second: float
    batches: Mapping[str, int]
    queue_seconds: float | None
    memory: ServerMemory | None = None
    streams: tuple[StreamRecord, ...] = ()


@dataclass(frozen=True)
class Settings:
    """How it was measured.

    Attributes:
        threads: CPU threads of each side; None: one per core.
        repeats, warm_up: turns with and without a stopwatch.
        pictures: how many image files.
    """

    threads: int | None
    repeats: int
    warm_up: int
    pictures: int


@dataclass(frozen=True)
class Benchmark:
    """The content of bench.json."""

    environment: Environment
    settings: Settings
    pipeline: tuple[PipelineRecord, ...]
    failed: tuple[Failure, ...]
    operations: tuple[OperationRecord, ...]
    serving: tuple[ServingRecord, ...] = ()
