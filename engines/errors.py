"""What building an engine raises, beside the errors of the runtime."""

from maskrt.errors import MaskrtError


class EngineError(MaskrtError):
    """An engine cannot be built or written: TensorRT refuses the model, the plugins do not fit, the disk is full."""

    code = "MRT-013"
