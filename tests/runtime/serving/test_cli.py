"""`maskrt serve` as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maskrt.runtime.serving import cli

from ...support.served import Running, png

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `maskrt serve` with these arguments."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "maskrt.cli", "serve", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def address_of(process: subprocess.Popen[str]) -> Running:
    """Wait until it is ready."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.fullmatch(r"ready: http://127\.0\.0\.1:(\d+)\n", line):
            return Running(None, ("127.0.0.1", int(match[1])))
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_it_well(start: Start, write_model: Callable[..., Path], number: signal.Signals) -> None:
    process = start(write_model(), "--port", 0, "--threads", 1)
    server = address_of(process)
    assert server.predict(png()).status == 200
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "what was taken is finished" in out


def test_what_does_not_work_is_a_sentence(
    write_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text("short\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        for arguments, sentence in (
            ([tmp_path / "none.onnx", "--port", 0], "none.onnx"),
            ([write_model(), "--port", other.getsockname()[1]], "Another server may have it: give another --port"),
            ([write_model(), "--port", 0, "--api-key-file", tmp_path / "none"], "Cannot read the API key"),
            ([write_model(), "--port", 0, "--api-key-file", key], "expected a key of at least 8 characters"),
        ):
            assert cli.main(list(map(str, arguments))) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("maskrt serve: ")
            assert sentence in line


@pytest.mark.parametrize(
    "option", [("--port", "70000"), ("--queue", "0"), ("--warm-up", "big"), ("--batch-delay", "-1")]
)
def test_options_that_are_none(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["model.onnx", *option])
    assert f"argument {option[0]}: expected" in capsys.readouterr().err


def test_everybody_is_answered_only_where_that_is_said(start: Start, write_model: Callable[..., Path]) -> None:
    process = start(write_model(), "--port", 0, "--host", "0.0.0.0", "--warm-up", "40x60")
    assert process.stdout is not None
    while "ready: " not in (line := process.stdout.readline()):
        assert line
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert "answers everybody who can reach it; --api-key-file asks for a key" in err
    assert process.returncode == 0


def test_without_the_extra_the_message_names_it(write_model: Callable[..., Path]) -> None:
    program = (
        "import sys; sys.modules['starlette'] = None; from maskrt.runtime.serving.cli import main; sys.exit(main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(write_model())], capture_output=True, text=True, check=False, env=os.environ
    )
    assert result.returncode == 2
    assert "pip install maskrt[serve]" in result.stderr
    assert "Traceback" not in result.stderr
