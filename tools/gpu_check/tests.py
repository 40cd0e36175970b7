"""The tests that are marked `gpu`, by groups; each test's outcome is known as soon as it is there."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from maskrt.tools.gpu_check import outcomes
from maskrt.tools.gpu_check.machine import REPOSITORY
from maskrt.tools.gpu_check.part import Report, Skip, require_gpu

TESTS = REPOSITORY / "tests"
MARK = "pytest.mark.gpu"
_SANITIZER = "compute_sanitizer"  # in the names of the tests that run it
_LARGE = "plugins/test_gpu.py"
_MISSING = "ModuleNotFoundError"


def kernels(report: Report) -> None:
    """Run those of the kernels, but for full sizes and the sanitizer."""
    _run(report, lambda file: file.startswith("plugins/") and file != _LARGE)


def runtime(report: Report) -> None:
    """Run all that are not the kernels'."""
    _run(report, lambda file: not file.startswith("plugins/"))


def large(report: Report) -> None:
    """Run those with full sizes."""
    _run(report, lambda file: file == _LARGE, "-k", f"not {_SANITIZER}")


def sanitizer(report: Report) -> None:
    """Run compute-sanitizer over the kernels' tests."""
    _run(report, lambda file: file == _LARGE, "-k", _SANITIZER)


def _run(report: Report, chosen: Callable[[str], bool], *options: str) -> None:
    require_gpu()
    if importlib.util.find_spec("pytest") is None:
        raise Skip("pytest is not installed")
    if not TESTS.is_dir():
        raise Skip(f"the check runs from a checkout of the repository, but {TESTS} does not exist")
    run_tests(report, [file for file in gpu_tests() if chosen(str(file.relative_to(TESTS)))], options)


def run_tests(report: Report, files: Iterable[Path], options: Iterable[str] = ()) -> None:
    """Run the tests of some files that are marked `gpu`; report how many passed, and which did not.

    A file that cannot be imported counts as one error, unless a package that is not installed is the reason: then it is
    left out, with that reason. The others are run all the same.

    Raises:
        RuntimeError: there are failures.
    """
    read, write = os.pipe()
    plugin = ("-p", outcomes.__name__, "-p", "no:cacheprovider")
    general = ("-m", "gpu", "-v", "-rfE", *plugin, "--continue-on-collection-errors")
    command = [sys.executable, "-m", "pytest", *general, *options, *map(str, files)]
    environment = os.environ | {outcomes.OUTCOMES: str(write)}
    counts: Counter[str] = Counter()
    wrong: dict[str, str] = {}
    left_out: dict[str, str] = {}
    with os.fdopen(read, encoding="utf-8") as told:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, pass_fds=(write,))
        os.close(write)  # so that the pipe ends where pytest does
        for line in told:
            test = json.loads(line)
            name, outcome, reason = test["name"], test["outcome"], test["reason"]
            if _MISSING in reason:
                left_out[name] = reason
            else:
                counts["error" if reason else outcome] += 1
                if outcome not in ("passed", "skipped"):
                    wrong[name] = reason or outcome
            report.add("outcomes", dict(counts))
            report.add("not_passed", wrong)
            report.add("left_out", left_out)
    report.add("exit_status", process.wait())
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {counts.total()} tests did not pass")
    if not counts:
        raise Skip("; ".join(left_out.values()) or "there is no such test")


def gpu_tests() -> list[Path]:
    """Find the files with tests that are marked `gpu`, themselves or by a parameter of a shared fixture.

    The files are read and not imported: those of other tests import packages that a GPU machine may lack.
    """
    found = set()
    for folder in {file.parent for file in TESTS.rglob("test_*.py")}:
        conftests = [above / "conftest.py" for above in (folder, *folder.parents) if above.is_relative_to(TESTS)]
        fixtures = set().union(*(_marked_functions(file) for file in conftests if file.is_file()))
        found |= {file for file in folder.glob("test_*.py") if _has_gpu_tests(file, fixtures)}
    return sorted(found)


def _marked_functions(file: Path) -> set[str]:
    """Name the functions of a file that have the mark `gpu` in a decorator."""
    functions = (node for node in ast.walk(_parse(file)) if isinstance(node, ast.FunctionDef))
    return {function.name for function in functions if any(map(_is_marked, function.decorator_list))}


def _has_gpu_tests(file: Path, fixtures: set[str]) -> bool:
    """Tell whether a file of tests has the mark `gpu` in it, or takes one of the fixtures that are marked so."""
    tree = _parse(file)
    return _is_marked(tree) or any(isinstance(node, ast.arg) and node.arg in fixtures for node in ast.walk(tree))


def _is_marked(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Attribute) and ast.unparse(node) == MARK for node in ast.walk(tree))


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))
