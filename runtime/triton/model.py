"""The Python model of a repository that `maskrt package --format triton` writes; Triton makes one for each instance."""

import json
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.contract.serving import INPUTS, outputs_of
from maskrt.errors import ArgumentError, ImageError, MaskrtError
from maskrt.runtime.questions.batches import Batches
from maskrt.runtime.questions.question import PictureLimits, Question
from maskrt.runtime.questions.tensors import lay_out, masks_of, read_questions
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.triton.engine import EngineModel, read_engine_metadata
from maskrt.runtime.triton.names import ENGINE, ENGINE_METADATA, MAX_BYTES, MAX_PIXELS, MODEL_FILE


class TritonPythonModel:
    """Pictures in, instances out; see `contract.serving`. The methods are those that Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model file, or what is known of the one that the engine model runs.

        Args:
            args: Triton's: the configuration as JSON, the folder of the model, the version.

        Raises:
            MaskrtError: the model cannot be loaded.
        """
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        if MODEL_FILE in parameters:
            instances = sum(group["count"] for group in config["instance_group"])
            threads = max((os.cpu_count() or 1) // instances, 1)
            segmenter = Segmenter(folder / parameters[MODEL_FILE], threads=threads)
        else:
            segmenter = Segmenter.of(EngineModel(ENGINE, *read_engine_metadata(folder / ENGINE_METADATA)), Path(ENGINE))
        self._metadata = segmenter.metadata
        limits = PictureLimits(int(parameters[MAX_BYTES]), int(parameters[MAX_PIXELS]))
        self._batches = Batches(segmenter, config["max_batch_size"], limits)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests that Triton has put together, each by itself: one that fails harms no other."""
        questions = [self._read(request) for request in requests]
        asked = [question for one in questions if isinstance(one, list) for question in one]
        answers = iter(self._batches.answer(asked))
        return [
            self._respond(list(islice(answers, len(one)))) if isinstance(one, list) else _refuse(one)
            for one in questions
        ]

    def finalize(self) -> None:
        """End the threads."""
        self._batches.close()

    def _read(self, request: Any) -> list[Question] | Exception:
        import triton_python_backend_utils as triton

        tensors: dict[str, np.ndarray] = {}
        for spec in INPUTS:
            tensor = triton.get_input_tensor_by_name(request, spec.name)
            if tensor is not None:
                tensors[spec.name] = tensor.as_numpy()
        try:
            return read_questions(tensors, self._metadata)
        except ArgumentError as error:
            return error

    def _respond(self, answers: Sequence[Instances | Exception]) -> Any:
        import triton_python_backend_utils as triton

        failed = [(i, answer) for i, answer in enumerate(answers) if isinstance(answer, Exception)]
        if failed:
            number, error = failed[0]
            return _refuse(error, f"Picture {number + 1} of {len(answers)}: " if len(answers) > 1 else "")
        found = [answer for answer in answers if isinstance(answer, Instances)]
        specs = outputs_of(self._metadata)
        try:
            masks = [masks_of(instances) if instances.has_masks else [] for instances in found]
            values = lay_out(found, masks, specs)
        except (MaskrtError, MemoryError) as error:
            return _refuse(error)
        return triton.InferenceResponse([triton.Tensor(name, value) for name, value in values.items()])


def _refuse(error: Exception, which: str = "") -> Any:
    """Answer with a sentence: 400 where the request is at fault, else 500."""
    import triton_python_backend_utils as triton

    client = isinstance(error, ArgumentError | ImageError)
    code = triton.TritonError.INVALID_ARG if client else triton.TritonError.INTERNAL
    message = "There is no memory left for this picture." if isinstance(error, MemoryError) else str(error)
    return triton.InferenceResponse(error=triton.TritonError(which + message, code))
