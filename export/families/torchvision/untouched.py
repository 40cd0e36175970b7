"""Whether a part of a model is torchvision's own in what it does, not only in its class.

The exported graph re-expresses the arithmetic of these parts. What people change about it, they change by a class of
their own, by a method put on the instance, by one put on torchvision's class, or by a hook.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from torch import nn

from maskrt.export.errors import UnsupportedModelError

_HOOKS = {
    "_forward_hooks": "a forward hook",
    "_forward_pre_hooks": "a forward pre-hook",
}


def check_untouched(name: str, part: object, expected: type, *, subclasses: bool = False) -> None:
    """Check that a part does what torchvision's class does.

    Args:
        name: of the part in the model, for the message.
        part: an object.
        expected: torchvision's class.
        subclasses: whether a class derived from it will do, as long as it overrides none of its methods but `__init__`.

    Raises:
        UnsupportedModelError: it does not; the message names the part and its method.
    """
    if not isinstance(part, expected) or (not subclasses and type(part) is not expected):
        raise UnsupportedModelError(
            f"cannot export this model: its {name} is a {type(part).__name__}, expected torchvision's "
            f"{expected.__name__}"
        )
    for method in _methods(expected):
        whose = _replaced_by(part, expected, method)
        if whose is not None:
            raise UnsupportedModelError(
                f"cannot export this model: {name}.{method} is replaced {whose}, which the exported file would not "
                f"do; expected torchvision's {expected.__name__}.{method}"
            )
    for attribute, what in _HOOKS.items():
        if getattr(part, attribute, None):
            raise UnsupportedModelError(
                f"cannot export this model: {name} has {what}, which the exported file would not run; remove it"
            )


def _methods(expected: type) -> Iterable[str]:
    """Names of the methods that torchvision gives a class."""
    return sorted(
        {
            method
            for kind in expected.__mro__
            if kind.__module__.startswith("torchvision.")
            for method, value in vars(kind).items()
            if (inspect.isfunction(value) or isinstance(value, staticmethod | classmethod)) and method != "__init__"
        }
        | ({"forward", "__call__", "_call_impl"} if issubclass(expected, nn.Module) else set())
    )


def _replaced_by(part: object, expected: type, method: str) -> str | None:
    """Return where another method was put in the place of torchvision's; None: nowhere."""
    if method in getattr(part, "__dict__", {}):
        return "on the instance"
    found = inspect.getattr_static(type(part), method)
    if found is not inspect.getattr_static(expected, method):
        return f"by the class {type(part).__name__}"
    function = found.__func__ if isinstance(found, staticmethod | classmethod) else found
    module = getattr(function, "__module__", None) or ""
    return None if module.startswith(("torch.", "torchvision.")) else f"by {module or 'something'} in the class itself"
