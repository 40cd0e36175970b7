"""docs/extending.md is right: each recipe, followed to the letter in a copy of the sources, works as it says.

Blocks of a recipe are of three kinds. One that begins with `# folder/file.py` is that file. One of language diff names
a file, and has lines to add behind others that are there. Any other is a check, which runs in a folder with
`street.jpg` and, from the second recipe on, the `toy.onnx` of the first. The table says what each touches.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from .blocks import DOCUMENTS, RECIPE, ROOT, Block, blocks_of, run_block, write_command

DOCUMENT = ROOT / "docs" / "extending.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
PACKAGE = Path("src", "maskrt")
FOLDERS = [PACKAGE, *(link.resolve().relative_to(ROOT) for link in (ROOT / PACKAGE).iterdir() if link.is_symlink())]
"""Those that hold the package."""


class Touched(NamedTuple):
    """What a recipe changes: what is new ("a file in `folder/`"), and how many lines it adds to which file."""

    new: str
    lines: dict[str, int]


def recipes() -> dict[str, list[Block]]:
    """The blocks under each heading, without the introduction."""
    lines = enumerate(TEXT.splitlines(), start=1)
    headings = [(number, line.removeprefix("## ")) for number, line in lines if line.startswith("## ")]
    found: dict[str, list[Block]] = {title: [] for _, title in headings}
    for block in blocks_of(DOCUMENT):
        *_, title = (title for number, title in headings if number < block.line)
        found[title].append(block)
    return found


RECIPES = recipes()
FAMILY, *OTHERS = RECIPES


def promised() -> dict[str, Touched]:
    """What the table says of each recipe."""
    rows = re.findall(r"^\| \[(.)(.+)\]\(#\S+\) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
    return {
        first.upper() + rest: Touched(new, {file: int(number) for file, number in re.findall(r"`(.+?)`: (\d+)", lines)})
        for first, rest, new, lines in rows
    }


def copy_sources(tree: Path) -> None:
    """The package, and the settings of what checks its style."""
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tree)


def apply(block: Block, tree: Path) -> bool:
    """Puts a block into the sources; False for a check, which does not belong there."""
    first, _, rest = block.text.partition("\n")
    if block.language == "diff":
        add_lines(block, tree / first.removeprefix("+++ "), rest.splitlines())
        return True
    name = re.fullmatch(r"# (\S+\.py)", first)
    if block.language != "python" or name is None:
        return False
    path = tree / name[1]
    assert not path.exists(), f"{block.place}: {name[1]} is there already."
    path.parent.mkdir(exist_ok=True)
    path.write_text(rest, encoding="utf-8")
    return True


def add_lines(block: Block, path: Path, lines: list[str]) -> None:
    """Adds the lines with a + behind those before them, which have to be in the file once."""
    before = [line[1:] for line in lines if line.startswith(" ")]
    added = [line[1:] for line in lines if line.startswith("+")]
    in_order = [f" {line}" for line in before] + [f"+{line}" for line in added]
    assert lines == in_order, f"{block.place}: expected lines that are there, and then lines to add."
    content, place = path.read_text(encoding="utf-8"), "".join(f"{line}\n" for line in before)
    assert content.count(place) == 1, f"{block.place}: {path.name} should have these lines once:\n{place}"
    path.write_text(content.replace(place, place + "".join(f"{line}\n" for line in added)), encoding="utf-8")


def touched(tree: Path) -> Touched:
    """How a copy differs from the checkout, in which nothing may be lost."""
    files, lines = list[Path](), dict[str, int]()
    for name in (path.relative_to(tree) for path in sorted(tree.rglob("*")) if path.is_file()):
        if not (ROOT / name).exists():
            files.append(name)
            continue
        old, new = (Counter((root / name).read_bytes().splitlines()) for root in (ROOT, tree))
        assert not old - new, f"{name} has lost lines."
        if new - old:
            lines[name.as_posix()] = (new - old).total()
    if not files:
        return Touched("nothing", lines)
    (folder,) = {name.parent for name in files}
    if (ROOT / folder).exists():
        (_,) = files
        return Touched(f"a file in `{folder.as_posix()}/`", lines)
    return Touched(f"a folder in `{folder.parent.as_posix()}/`", lines)


def check_style(tree: Path) -> None:
    """That the files which were added or changed are as `make lint` wants them."""
    files = [path for path in tree.rglob("*.py") if path.is_file() and not _is_as_before(path, tree)]
    for command in (("check",), ("format", "--check")):
        words = [sys.executable, "-m", "ruff", *command, "--no-cache", *map(str, files)]
        said = subprocess.run(words, cwd=tree, capture_output=True, text=True, check=False) if files else None
        assert said is None or said.returncode == 0, said.stdout + said.stderr


def _is_as_before(path: Path, tree: Path) -> bool:
    original = ROOT / path.relative_to(tree)
    return original.exists() and original.read_bytes() == path.read_bytes()


def environment_of(folder: Path) -> dict[str, str]:
    """In which the copy is the package."""
    return {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "tree" / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def follow(title: str, folder: Path) -> Touched:
    """Follows a recipe in a folder: its sources become `tree`, and the checks run in `work`."""
    tree, work, binaries = (folder / name for name in ("tree", "work", "bin"))
    copy_sources(tree)
    checks = [block for block in RECIPES[title] if not apply(block, tree)]
    result = touched(tree)
    check_style(tree)

    binaries.mkdir()
    write_command(binaries / "maskrt", [sys.executable, "-m", "maskrt.cli"])
    work.mkdir(exist_ok=True)
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    assert cv2.imwrite(str(work / "street.jpg"), cv2.resize(coarse, (180, 120), interpolation=cv2.INTER_CUBIC))
    of_the_copy = f"import maskrt; assert maskrt.__file__.startswith({str(tree)!r}), maskrt.__file__\n"
    for block in (Block(DOCUMENT, 0, "python", of_the_copy, None), *checks):
        run_block(block, work, environment_of(folder))
    return result


@pytest.fixture(scope="session")
def followed(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder in which the recipe of a family was followed."""
    return once("extending", lambda folder: follow(FAMILY, folder))


def test_every_recipe_is_in_the_table() -> None:
    assert list(promised()) == list(RECIPES)
    assert len(RECIPES) == 5


def test_every_block_is_part_of_a_recipe() -> None:
    for document in DOCUMENTS:
        for block in blocks_of(document):
            assert (block.reason == RECIPE) == (document == DOCUMENT), block.place
    assert list(blocks_of(DOCUMENT)) == [block for blocks in RECIPES.values() for block in blocks]


def test_a_family(followed: Path) -> None:
    assert touched(followed / "tree") == promised()[FAMILY]
    assert (followed / "work" / "out" / "infer" / "results.json").stat().st_size > 100
    answers = """
from maskrt.export.families.base import Family, families
*_, toy = families()
assert not {name for name in (*vars(Family), *Family.__annotations__) if name[0] != "_"} - set(dir(toy))
"""
    run_block(Block(DOCUMENT, 0, "python", answers, None), followed / "work", environment_of(followed))


@pytest.mark.parametrize("title", OTHERS)
def test_recipe(title: str, followed: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    shutil.copy(followed / "work" / "toy.onnx", tmp_path / "work")
    assert follow(title, tmp_path) == promised()[title]


# The tests of the tests: recipes with a fault each.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("+++ a.py\n three = 3\n+four = 4\n", r"faulty\.md:3: a\.py should have these lines once:\s+three = 3"),
        ("+++ a.py\n one = 1\n+four = 4\n", "these lines once"),
        ("+++ a.py\n two = 2\n+four = 4\n one = 1\n", "and then lines to add"),
        ("+++ a.py\n-two = 2\n", "and then lines to add"),
    ],
)
def test_lines_that_do_not_fit(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one = 1\ntwo = 2\none = 1\n")
    with pytest.raises(AssertionError, match=message):
        apply(Block(Path("faulty.md"), 3, "diff", text, RECIPE), tmp_path)


def test_file_that_is_there(tmp_path: Path) -> None:
    block = Block(Path("faulty.md"), 3, "python", "# a.py\ntwo = 2\n", RECIPE)
    assert apply(block, tmp_path)
    assert (tmp_path / "a.py").read_text() == "two = 2\n"
    with pytest.raises(AssertionError, match=r"faulty\.md:3: a\.py is there already"):
        apply(block, tmp_path)
    assert not apply(block._replace(text="two = 2\n"), tmp_path)


def test_what_is_touched_is_seen(tmp_path: Path) -> None:
    copied = tmp_path / "src" / "maskrt"
    copied.mkdir(parents=True)
    shutil.copy(ROOT / PACKAGE / "errors.py", copied)
    assert touched(tmp_path) == ("nothing", {})
    with (copied / "errors.py").open("a") as file:
        file.write("a = 1\nb = 1\n")
    (copied / "new.py").touch()
    assert touched(tmp_path) == ("a file in `src/maskrt/`", {"src/maskrt/errors.py": 2})
    (copied / "newer.py").touch()
    with pytest.raises(ValueError, match="too many values"):
        touched(tmp_path)
    (copied / "errors.py").write_text("")
    with pytest.raises(AssertionError, match="has lost lines"):
        touched(tmp_path)
