"""The stack on which signals are handled, which belongs to the process and not to a library."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator


class SignalStack(ctypes.Structure):
    """`stack_t` of `sigaltstack(2)`."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Give the calling thread its alternative signal stack back at the end, or none where it had none.

    OpenVINO's CPU plugin installs one of its own when it is loaded (so that a small one of the application does not
    forbid the tiles of AMX), and frees that memory with its last object. When this happens in another thread, the first
    one's next signal is handled on a stack that is not there any more: a Ctrl-C becomes a segmentation fault. What AMX
    needs has been asked for by the time the model is compiled.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    library = ctypes.CDLL(None)
    before = SignalStack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
