"""docs/architecture.md, its picture and docs/extending.md name what is there; the map leaves out no folder."""

from __future__ import annotations

import re

import pytest

from .blocks import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
RECIPES = re.sub(
    r"^```.*?^```", "", (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
)
PICTURE = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")

NAMED = sorted(set(re.findall(r"`([\w./-]+/(?:[\w.]+\.\w+)?)`", TEXT + RECIPES)))
IN_THE_TABLE = re.findall(r"^\| `([\w/]+)/` \|", TEXT, re.MULTILINE)
MADE = {"build", "dist", "out"}
"""Folders that hold no sources."""


def exists(name: str) -> bool:
    """In the checkout or, as the contract is named there, in the package."""
    return any((folder / name).exists() for folder in (ROOT, ROOT / "src" / "maskrt"))


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_exists(name: str) -> None:
    assert exists(name)


def test_names_are_found() -> None:
    assert {"contract/tensors.py", "engines/targets.json", "export/families/"} <= set(NAMED)
    assert not exists("contract/tensor.py")


def test_every_folder_is_in_the_table() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}
    assert {name.partition("/")[0] for name in IN_THE_TABLE} == folders - MADE


def test_the_picture_shows_folders_that_are_there() -> None:
    rooms, drawn = re.findall(r'class="f"[^>]*>([\w/]+)/<', PICTURE), re.findall(r"[>\s](\w+)/\s", PICTURE)
    assert set(rooms) < set(IN_THE_TABLE)
    assert {"families", "backends", "contract"} <= set(drawn)
    for name in drawn:
        assert any((ROOT / room / name).is_dir() for room in rooms), name


def layers() -> list[list[str]]:
    """The layers that `make lint` checks, top to bottom: the modules of each."""
    (found,) = re.findall(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    return [re.findall(r"[\w.]+", line) for line in found.splitlines()]


def test_every_module_has_its_layer() -> None:
    package = ROOT / "src" / "maskrt"
    modules = {path.stem for path in package.iterdir()} - {"evaluation", "py"}
    modules |= {f"evaluation.{path.stem}" for path in (package / "evaluation").iterdir()}
    named = {name for layer in layers() for name in layer}
    assert named == {name for name in modules if not name.rpartition(".")[2].startswith("_")}


def test_the_table_is_in_the_order_of_the_layers() -> None:
    modules = {"src/maskrt": "errors", "src/maskrt/ray": "ray", "evaluation": "evaluation.bench", "examples": "shapes"}
    names = [modules.get(name, name.replace("/", ".")) for name in IN_THE_TABLE if name not in ("tests", "docs")]
    levels = [next(level for level, layer in enumerate(layers()) if name in layer) for name in names]
    assert levels == sorted(levels, reverse=True)
