"""Ctrl-C, SIGTERM and SIGHUP, in processes of their own: what a signal does to this one is nobody's to say."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maskrt.signals import interruptible

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
SECONDS = 60

COMMAND = """
import sys, time
from maskrt.command import run_command
def work():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("tidied up", flush=True)
sys.exit(run_command("maskrt-x", work, interrupted="nothing was written"))
"""


def start(code: str, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_each_ends_a_command_as_ctrl_c_does(number: signal.Signals) -> None:
    with start(COMMAND) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (130, "tidied up\n", "maskrt-x: interrupted; nothing was written\n")


@pytest.mark.parametrize(("first", "second"), [SIGNALS[1:], SIGNALS[:0:-1]])
def test_systemd_sends_one_behind_the_other(first: signal.Signals, second: signal.Signals) -> None:
    code = COMMAND.replace("    finally:\n", "    finally:\n        time.sleep(0.5)\n")
    with start(code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(first)
        process.send_signal(second)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (130, "tidied up\n"), err


def test_what_the_parent_ignored_stays_ignored() -> None:
    """`nohup` has SIGHUP ignored."""
    code = COMMAND.replace("time.sleep(60)", "time.sleep(0.5)").replace('print("tidied up", flush=True)', "return 0")
    with start("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


IMPORTS = """
import sys
from maskrt import cli
cli.VERBS = {"infer": cli._Verb("slow", "")}
sys.exit(cli.main(["infer"]))
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_while_a_library_is_imported(number: signal.Signals, tmp_path: Path) -> None:
    """The import is not broken off in the middle, which C++ code answers with abort()."""
    (tmp_path / "slow.py").write_text(
        "import time\nprint('ready', flush=True)\n"
        "for _ in range(30):\n    time.sleep(0.02)\n"
        "print('whole', flush=True)\n"
        "EXTRA = INTERRUPTED_NOTE = ''\ndef add_arguments(parser): pass\ndef run(options): time.sleep(60)\n"
    )
    with start(IMPORTS, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (130, "whole\n"), err
    assert "Traceback" not in err


def test_outside_of_the_main_thread_nothing_is_changed() -> None:
    seen = []

    def work() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with interruptible(), interruptible():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in SIGNALS] == before
