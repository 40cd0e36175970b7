"""The names that a model repository for Triton and the Python model in it have agreed upon."""

MODEL = "maskrt"
"""The model that clients ask: pictures in, instances out; see `contract.serving`."""

ENGINE = "maskrt_engine"
"""The model behind it, where there is one: the model file itself, see `contract.tensors`."""

MODEL_FILE = "model_file"
"""Parameter: the name of the model file that the Python model runs itself, beside it; none with `ENGINE`."""

ENGINE_METADATA = "metadata.json"
"""File beside the Python model: what the file of `ENGINE` says of itself, and the type of its images."""

MAX_BYTES, MAX_PIXELS = "max_bytes", "max_pixels"
"""Parameters: pictures with more are refused before they are decoded; see `questions.question.PictureLimits`."""
