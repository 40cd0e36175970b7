"""Nothing half-written, and where nothing can be written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maskrt import files
from maskrt.errors import ArgumentError, MaskrtError
from maskrt.files import check_writable, read_text_file, remove_stale, write_in_one_step


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_in_one_step(path, b"old")

    def half_a_write(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half_a_write)
    with pytest.raises(OSError, match="No space left"):
        write_in_one_step(path, b"new content")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "a.engine")
    with pytest.raises(ArgumentError, match=r"it is a folder. Give the name of a file"):
        check_writable(tmp_path)
    with pytest.raises(ArgumentError, match=r"there is no folder .*missing"):
        check_writable(tmp_path / "missing" / "a.engine")
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with pytest.raises(ArgumentError, match=r"no permission to write in"):
        check_writable(tmp_path / "a.engine")


def odd_file(folder: Path, kind: str) -> Path:
    path = folder / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_regular_files_are_replaced(tmp_path: Path, kind: str) -> None:
    path = odd_file(tmp_path, kind)
    for write in (check_writable, lambda path: write_in_one_step(path, b"")):
        with pytest.raises(ArgumentError, match=r"it is no regular file, but a pipe, a socket or a device"):
            write(path)
    assert not path.is_file()
    assert [entry.name for entry in tmp_path.iterdir()] == ["odd"]


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_inputs_are_not_written_to(tmp_path: Path, link: str) -> None:
    given, output = tmp_path / "model.onnx", tmp_path / "out.onnx"
    given.touch()
    if link == "same":
        output = tmp_path / "." / "model.onnx"
    elif link == "symbolic":
        output.symlink_to(given)
    else:
        output.hardlink_to(given)
    with pytest.raises(ArgumentError, match=r"it is an input of this run"):
        check_writable(output, [tmp_path / "missing", given])


@pytest.mark.parametrize(
    ("kind", "message"),
    [("missing", "there is no such file"), ("folder", "it is a folder"), ("pipe", "a pipe"), ("device", "a device")],
)
def test_only_regular_files_are_read(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(MaskrtError, match=rf"Cannot read the class names .*odd: .*{message}"):
        read_text_file(odd_file(tmp_path, kind), "class names")


@pytest.mark.parametrize(
    ("content", "text"),
    [("größe\n".encode(), "größe\n"), ("\ufeffa".encode(), "a"), (b"gr\xfc", None), (b"\xff\xfea\0", None)],
)
def test_text(tmp_path: Path, content: bytes, text: str | None) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    if text is None:
        with pytest.raises(MaskrtError, match=r"expected text in UTF-8"):
            read_text_file(path, "class names")
    else:
        assert read_text_file(path, "class names") == text


@pytest.mark.parametrize("name", ["x" * 255, "x" * 250, "ü" * 125])
def test_long_names_can_be_written(tmp_path: Path, name: str) -> None:
    write_in_one_step(tmp_path / name, b"content")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


KILLED = {
    "a file": "with files.replacing(Path('a.json')) as path: path.write_text('half'); os.kill(os.getpid(), 9)",
    "a folder": "with files.temporary_folder(Path()) as path: (path / 'b').mkdir(); os.kill(os.getpid(), 9)",
}
"""What a process is at when it is killed."""


@pytest.mark.parametrize("what", KILLED)
def test_what_a_killed_run_leaves_is_removed(tmp_path: Path, what: str) -> None:
    program = f"import os; from pathlib import Path; from maskrt import files\n{KILLED[what]}"
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert process.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with files.replacing(tmp_path / "mine.json"), files.temporary_folder(tmp_path):  # of a run at work
        assert len(list(tmp_path.iterdir())) == 3
        remove_stale(tmp_path)
        assert not left.exists()
        assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


def test_a_link_that_looks_stale_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / ".maskrt-1-0.tmp").symlink_to("mine")
    remove_stale(tmp_path)
    assert (tmp_path / "mine" / "file").exists()
