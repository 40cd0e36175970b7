"""README.md and docs/ cannot go stale: every block of shell and Python in them is executed, or says why it is not.

A block that cannot be executed has a comment right before it, with one of the reasons in `blocks.REASONS`:

    <!-- not run: needs a GPU -->

Such a block is still checked: the options of its maskrt commands and its make targets exist, and what its Python
imports is there. It shows up as a skipped test with its reason. Where it only lacks files or the internet, its
`maskrt infer` runs on the files below. The others are executed in order, each in a process of its own, in a folder that
looks like the checkout and has the demo model (`model.onnx`, `out/model.onnx`), `street.jpg`, `extra.jpg`, the folder
`photos/`, a larger `aerial.tif`, and `clip.mp4` of half a second.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskrt.cli import VERBS
from maskrt.plugins import libraries

from .blocks import DOCUMENTS, EXECUTED, RECIPE, ROOT, Block, blocks_of, check_form, run_block, write_command
from .marked_blocks import check_marked, simple_commands


def make_checkout(folder: Path) -> None:
    """Fills a folder with links to what the checkout has, a virtual environment that is this one, and its commands."""
    made = {"build", "dist", "out"}
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in made:
            (folder / entry.name).symlink_to(entry)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    write_command(binaries / "python", [sys.executable])
    write_command(binaries / "maskrt", [sys.executable, "-m", "maskrt.cli"])
    (folder / ".venv" / ".ready").touch()


def _write_clip(path: Path, picture: np.ndarray) -> None:
    """Five frames of the picture, in half a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, picture.shape[1::-1])
    assert writer.isOpened()
    for _ in range(5):
        writer.write(picture)
    writer.release()


@pytest.fixture
def workplace(shapes_onnx: Path, photographs: dict[str, np.ndarray], tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder to run blocks in, and their environment."""
    make_checkout(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("model.onnx", "out/model.onnx"):
        (tmp_path / name).symlink_to(shapes_onnx)
    for name, photograph in (("street", "coffee"), ("extra", "chelsea"), ("photos/a", "astronaut")):
        small = cv2.resize(photographs[photograph], (240, 160), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), small[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "aerial.tif"), photographs["astronaut"])
    _write_clip(tmp_path / "clip.mp4", cv2.resize(photographs["coffee"], (240, 160)))
    path = f"{tmp_path / '.venv' / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return tmp_path, {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


ALL_BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.place)
def test_block_is_of_a_known_form(block: Block) -> None:
    check_form(block)


MARKED = [block for block in ALL_BLOCKS if block.reason not in (None, RECIPE) and block.language in EXECUTED]


@pytest.mark.parametrize("block", MARKED, ids=lambda block: block.place)
def test_marked_block_asks_for_what_exists(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    check_marked(block, monkeypatch)
    pytest.skip(f"{block.place} is checked, but not run: {block.reason}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_options_named_in_the_text_exist(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for verb, rest in re.findall(r"`maskrt ([a-z]+)\b([^`]*)`", text):
        assert verb in VERBS, f"{document.name}: there is no verb {verb} of maskrt."
        with pytest.raises(SystemExit):
            importlib.import_module(VERBS[verb].module).main(["--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        unknown = set(re.findall(r"--[a-z-]+", rest)) - known
        assert not unknown, f"{document.name}: maskrt {verb} has no {', '.join(unknown)}."


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_other_block_runs(
    document: Path,
    workplace: tuple[Path, dict[str, str]],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, environment = workplace
    blocks = [
        b for b in ALL_BLOCKS if b.document == document and b.reason is None and (b.language in EXECUTED or b.is_output)
    ]
    if any("engine" in block.text for block in blocks):
        pytest.importorskip("tensorrt_rtx")
        environment[libraries.DIRECTORY_VARIABLE] = str(request.getfixturevalue("plugin_directory"))
    printed = ""
    for block in blocks:
        if block.is_output:
            assert printed == block.text, f"{block.place}: the block above prints something else: `make figures`."
        else:
            printed = run_block(block, folder, environment)


# The tests of the tests: documents with a fault each.


def block(text: str, language: str = "sh", reason: str | None = None) -> Block:
    return Block(Path("faulty.md"), 3, language, text, reason)


def test_blocks_and_their_marks_are_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# A\n<!-- not run: needs a GPU -->\n\n```sh\none\n```\n\n```python\ntwo\n```\n"
        "<!-- not run: needs a GPU -->\ntext between\n```sh\nthree\n\nfour\n```\n"
    )
    found = [(b.line, b.language, b.text, b.reason) for b in blocks_of(document)]
    assert found == [
        (4, "sh", "one\n", "needs a GPU"),
        (8, "python", "two\n", None),
        (13, "sh", "three\n\nfour\n", None),
    ]
    document.write_text("```python\none\n```\n\n<!-- output -->\n```text\ntwo\n```\n```text\nthree\n```\n")
    assert [b.is_output for b in blocks_of(document)] == [False, True, False]
    document.write_text("```sh\nnever closed\n")
    with pytest.raises(AssertionError, match=r"a\.md:1: this block has no end"):
        list(blocks_of(document))


def test_form_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"faulty\.md:3: a block of bash; .* Shell is `sh`"):
        check_form(block("true\n", "bash"))
    with pytest.raises(AssertionError, match=r"faulty\.md:3: 'no time' is not a reason[\s\S]*not run: needs a GPU"):
        check_form(block("true\n", reason="no time"))
    with pytest.raises(AssertionError, match="not a reason"):
        check_form(block("true\n", reason="long"))
    check_form(block("true\n", reason="long (CI runs it)"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("maskrt export model --output m.onnx --colour red", "is not understood"),
        ("cd x && maskrt infer --output o", "is not understood"),
        ("X=1 maskrt imagine model.onnx", "There is no verb .'imagine'."),
        ("make demos", "No rule to make target 'demos'"),
        ("make engine TARGETS=l4", "There is no variable TARGETS"),
        ("make demo PRECISION=int8", "has no use for PRECISION"),
        ("python -m maskrt.plugins.build --fast", "is not understood"),
        ("python -m maskrt.plugins.bild", "No module named"),
        ("maskrt infer 'unclosed", "No closing quotation"),
    ],
)
def test_marked_shell_that_asks_for_what_does_not_exist(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match=rf"^faulty\.md:3: [\s\S]*{message}"):
        check_marked(block(text, reason="needs a GPU"), monkeypatch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from maskrt.runtime import Segmentor\n", "maskrt.runtime has no Segmentor"),
        ("import maskrt.runtimes\n", "No module named"),
        ("print(\n", "was never closed"),
    ],
)
def test_marked_python_that_asks_for_what_does_not_exist(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match=rf"^faulty\.md:3: [\s\S]*{message}"):
        check_marked(block(text, "python", "needs a GPU"), monkeypatch)


def test_marked_block_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    infer = "A=1 maskrt infer m.onnx \\\n  --images a.jpg --output o"
    text = f"cd x  # there\n{infer} | tee log; make infer IMAGES=x && ls -l\n"
    assert list(simple_commands(text)) == [
        ["cd", "x"],
        ["maskrt", "infer", "m.onnx", "--images", "a.jpg", "--output", "o"],
        ["tee", "log"],
        ["make", "infer", "IMAGES=x"],
        ["ls", "-l"],
    ]
    check_marked(block(text, reason="needs a GPU"), monkeypatch)


@pytest.mark.parametrize(
    ("text", "language"), [("true\nfalse\ntrue\n", "sh"), ("false | true\n", "sh"), ("raise ValueError\n", "python")]
)
def test_block_that_fails(text: str, language: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"faulty\.md:3: this block ended with 1[\s\S]*Mend the block, or put"):
        run_block(block(text, language), tmp_path, dict(os.environ))


def test_make_runs_in_a_block(workplace: tuple[Path, dict[str, str]]) -> None:
    """With the checkout's Makefile, this process's Python, and the model that is there already."""
    text = "make infer IMAGES=photos INFER_OPTIONS=--no-overlays\ntest -s out/infer/results.json\n"
    run_block(block(text), *workplace)


def commands_for_stand_ins() -> Iterator[tuple[Block, str]]:
    """Each `maskrt infer` of a block that needs the user's files or the internet, without its cameras and streams."""
    for marked in MARKED:
        if marked.language == "sh" and marked.reason in ("needs the internet", "needs your own files"):
            for words in simple_commands(marked.text):
                if words[:2] == ["maskrt", "infer"]:
                    yield marked, shlex.join(word for word in words if not word.startswith(("camera:", "rtsp:")))


def test_there_are_commands_for_stand_ins() -> None:
    assert len(list(commands_for_stand_ins())) >= 2


@pytest.mark.parametrize(
    ("marked", "command"),
    list(commands_for_stand_ins()),
    ids=lambda value: value if isinstance(value, str) else value.place,
)
def test_command_of_a_marked_block_runs_on_stand_ins(
    marked: Block, command: str, workplace: tuple[Path, dict[str, str]]
) -> None:
    pytest.importorskip("av")
    run_block(marked._replace(text=command), *workplace)
