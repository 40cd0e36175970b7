"""What the server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one server.

    Args:
        batch_size: the largest batch: each size has a bucket of its own.
    """

    def __init__(self, batch_size: int) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "maskrt_requests",
            "Requests by what was asked for and how it ended.",
            ("route", "status"),
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "maskrt_request_seconds",
            "From the head of a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.images = Counter("maskrt_images", "Pictures that were segmented.", registry=self._registry)
        self.instances = Counter("maskrt_instances", "Instances that were found.", registry=self._registry)
        self.in_flight = Gauge(
            "maskrt_images_in_flight", "Pictures that are waiting or being worked on.", registry=self._registry
        )
        self.batch_size = Histogram(
            "maskrt_batch_size",
            "Pictures in a run of the model.",
            buckets=tuple(range(1, batch_size + 1)),
            registry=self._registry,
        )
        self.stage_seconds = Histogram(
            "maskrt_stage_seconds",
            "Of a picture: decode, preprocess, queue, infer (of its whole batch), postprocess, encode.",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.ready = Gauge(
            "maskrt_ready", "Whether the model is loaded and requests are taken.", registry=self._registry
        )

    def text(self) -> bytes:
        """Write them in Prometheus' text format, `CONTENT_TYPE`."""
        return generate_latest(self._registry)
