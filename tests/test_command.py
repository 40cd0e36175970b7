import argparse
import io
import os
import sys

import pytest

from maskrt.command import run_command
from maskrt.errors import ModelError
from maskrt.options import fraction, positive


def test_numbers():
    assert positive("12") == 12
    assert [fraction(text) for text in ("0", "0.5", "1")] == [0, 0.5, 1]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_no_positive_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 1"):
        positive(text)


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "half"])
def test_no_fraction(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number from 0 to 1"):
        fraction(text)


def fail(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ModelError("m.onnx is empty."), 2, "maskrt-x: m.onnx is empty. [MRT-003]\n"),
        (
            ModuleNotFoundError("", name="torch"),
            2,
            "maskrt-x: this needs torch: `pip install maskrt[export]` [MRT-006]\n",
        ),
        (KeyboardInterrupt(), 130, "maskrt-x: interrupted; nothing was written\n"),
    ],
)
def test_how_a_command_ends(capsys, error, code, message):
    ended = run_command("maskrt-x", lambda: fail(error), interrupted="nothing was written", install="maskrt[export]")
    assert (ended, capsys.readouterr().err) == (code, message)


def test_names_that_the_terminal_cannot_show(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    assert run_command("maskrt-x", lambda: print("größe", os.fsdecode(b"\xfc")) or 0, interrupted="") == 0
    assert written.getvalue() == rb"gr\xf6\xdfe \udcfc" + b"\n"


def test_a_bug_is_not_taken_for_a_missing_package():
    with pytest.raises(ModuleNotFoundError):
        run_command("maskrt-x", lambda: fail(ModuleNotFoundError("", name="maskrt.gone")), interrupted="")
