"""One row for each model, with what the different result files say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from maskrt.contract.precision import SOURCE_PRECISION
from maskrt.evaluation.report.inputs import Results
from maskrt.evaluation.results import PYTORCH
from maskrt.evaluation.results.bench import PipelineRecord
from maskrt.evaluation.results.compare import CandidateRecord
from maskrt.evaluation.results.evaluate import ModelRecord


@dataclass
class Model:
    """What is known of a model; None where nothing was measured.

    Attributes:
        name: as in the result files.
        label: short, for plots and pictures: the precision, where it tells the files apart.
        precision, backend: as in the result files.
        candidate: its entry among the candidates of compare.json.
        evaluation: its entry among the models of evaluate.json.
        timing: its first entry of the pipeline in bench.json: the smallest batch.
    """

    name: str
    label: str
    precision: str
    backend: str
    candidate: CandidateRecord | None = None
    evaluation: ModelRecord | None = None
    timing: PipelineRecord | None = None

    @property
    def is_pytorch(self) -> bool:
        """Whether it is the source model, in one way or another, and no file."""
        return self.name.startswith(PYTORCH)

    @property
    def passed(self) -> bool | None:
        """The verdict of the comparison."""
        return None if self.candidate is None else self.candidate.verdict == "pass"

    @property
    def speedup(self) -> float | None:
        """How many times faster it is than the benchmark's reference; None for that one itself."""
        if self.timing is None or self.timing.speedup.reference == self.name:
            return None
        return self.timing.speedup.median

    @property
    def runs_in(self) -> str:
        """The backend in short: `ONNX Runtime (CPU)`."""
        return self.backend.replace("ExecutionProvider", "")

    @property
    def box_ap(self) -> float | None:
        """COCO AP of its boxes."""
        return None if self.evaluation is None else self.evaluation.box.AP

    @property
    def mask_ap(self) -> float | None:
        """COCO AP of its masks."""
        return None if self.evaluation is None or self.evaluation.mask is None else self.evaluation.mask.AP

    @property
    def keypoint_ap(self) -> float | None:
        """COCO AP of its keypoints, by OKS."""
        keypoints = None if self.evaluation is None else self.evaluation.keypoints
        return None if keypoints is None else keypoints.AP

    @property
    def seconds_per_image(self) -> float | None:
        """From the image file to encoded masks, by the benchmark; else from the decoded image, by the evaluation."""
        if self.timing is not None:
            return self.timing.seconds.total.median / self.timing.batch
        return None if self.evaluation is None else self.evaluation.seconds_per_image


def collect_models(results: Results) -> list[Model]:
    """Collect the models: PyTorch first, then in the order of the result files."""
    models: dict[str, Model] = {}

    def model(entry: CandidateRecord | ModelRecord | PipelineRecord) -> Model:
        name = entry.name
        return models.setdefault(name, Model(name, name, entry.precision, entry.backend))

    for candidate in results.compare.candidates if results.compare else ():
        model(candidate).candidate = candidate
    for evaluation in results.evaluate.models if results.evaluate else ():
        model(evaluation).evaluation = evaluation
    for timing in sorted(results.bench.pipeline, key=lambda entry: entry.batch) if results.bench else ():
        found = model(timing)
        found.timing = found.timing or timing
    files = [found for found in models.values() if not found.is_pytorch]
    precisions = Counter(found.precision for found in files)
    for found in files:
        if precisions[found.precision] == 1:
            found.label = found.precision.upper()
    return sorted(models.values(), key=lambda found: not found.is_pytorch)


def reference_of(models: Sequence[Model]) -> Model | None:
    """Find what AP is compared with: PyTorch, else the first file of its precision."""
    evaluated = [model for model in models if model.evaluation is not None]
    return next(
        (model for model in evaluated if model.name == PYTORCH),
        next((model for model in evaluated if model.precision == SOURCE_PRECISION), None),
    )
