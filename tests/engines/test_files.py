"""Nothing half-written: a full disk, an interrupt, a folder that is not there."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskrt.engines import EngineError, files
from maskrt.engines.files import write_together
from maskrt.files import remove_stale


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for one MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    first, second = tmp_path / "a.engine", tmp_path / "a.engine.json"
    first.write_bytes(b"old")
    write_together({first: memoryview(b"new"), second: b"{}"})
    assert (first.read_bytes(), second.read_bytes()) == (b"new", b"{}")
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_full_disk_leaves_the_old_file(tiny_disk: Path) -> None:
    engine = tiny_disk / "a.engine"
    engine.write_bytes(b"old")
    with pytest.raises(
        EngineError, match=r"No room for .*a\.engine: it needs 2\.0 MB, but .* has 1\.0 MB free.*--output"
    ):
        write_together({engine: b"x" * 2_000_000, tiny_disk / "a.engine.json": b"{}"})
    assert [path.name for path in tiny_disk.iterdir()] == ["a.engine"]
    assert engine.read_bytes() == b"old"


@pytest.mark.parametrize("failing", [0, 1])
def test_full_disk_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """The same where no disk can be mounted: the operating system refuses to flush one of the files."""
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(EngineError, match=r"No room for"):
        write_together({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert list(tmp_path.iterdir()) == []


def test_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / "a": b"1"})
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Cannot write .*: No such file or directory"):
        write_together({tmp_path / "missing" / "a": b"1"})


@pytest.mark.parametrize("name", ["a.engine", f"{'x' * 240}.engine"])
def test_what_a_killed_run_leaves_is_removed(tmp_path: Path, name: str) -> None:
    program = (
        "import os, sys; from pathlib import Path; from maskrt.engines import files\n"
        "files.os.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n"
        "files.write_together({Path(sys.argv[1]): b'1', Path(sys.argv[1] + '.json'): b'2'})"
    )
    process = subprocess.run([sys.executable, "-c", program, name], cwd=tmp_path, check=False)
    assert process.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    remove_stale(tmp_path)
    write_together({tmp_path / name: b"1"})
    assert [path.name for path in tmp_path.iterdir()] == [name]
