"""The files beside the sources that other programs read: they say what the sources say."""

import re

import yaml

import maskrt

from .blocks import ROOT

LINT = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *_ = re.findall(r"^## (\S+)$", changelog, re.MULTILINE)
    assert newest == read("CITATION.cff")["version"] == maskrt.__version__


def test_citation() -> None:
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)
    assert citation["license"] == "Apache-2.0"


def test_workflow_calls_the_gate_and_keeps_what_it_made() -> None:
    workflow = read(".github/workflows/ci.yml")
    steps = workflow["jobs"]["gate"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    (upload,) = (step for step in steps if step.get("uses", "").startswith("actions/upload-artifact@"))
    assert upload["if"] == "always()"
    assert {"out/report/", "out/demo/overlays/", "out/site/"} <= set(upload["with"]["path"].split())
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for target in ("lint", "docs", "test-all", "demo", "report"):
        assert re.search(rf"^make {target}\b", gate, re.MULTILINE)


def test_hooks_are_the_linters_of_make_lint() -> None:
    assert LINT is not None
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    said = [
        hook["entry"].rpartition("bin/")[2].replace("python -m ", "").replace(" --fix", "")
        for hook in repository["hooks"]
    ]
    lines = [
        line.split(" -m ")[-1].split("/bin/")[-1].replace(" --check", "").removesuffix(" .")
        for line in LINT[1].strip().split("\n")
    ]
    assert said == [line.strip().replace("$(VENV)/bin/", "") for line in lines]


def test_issues_ask_for_the_doctor() -> None:
    form = read(".github/ISSUE_TEMPLATE/bug.yml")
    (doctor,) = (part for part in form["body"] if part["id"] == "doctor")
    assert "`maskrt doctor`" in doctor["attributes"]["label"]
    assert doctor["validations"]["required"] is True
