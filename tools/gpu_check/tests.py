"""The tests that are marked `gpu`, by groups; each test's outcome is known as soon as it is there."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from maskrt.tools.gpu_check.machine import REPOSITORY
from maskrt.tools.gpu_check.part import Report, Skip, require_gpu

TESTS = REPOSITORY / "tests"
MARK = "pytest.mark.gpu"
_SANITIZER = "compute_sanitizer"  # in the names of the tests that run it
_LARGE = "plugins/test_gpu.py"
# A line of `pytest -v`: "tests/a/test_b.py::test_c[d] PASSED   [ 12%]"; without a number where output is captured.
_OUTCOME = re.compile(r"^(\S+::.+?) (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\b")
_MISSING = "ModuleNotFoundError"
_COLLECTING = re.compile(r"^_+ ERROR collecting (\S+) _+$")
_REASON = re.compile(r"^E +(.+)$")
_UNREADABLE = re.compile(r"^ERROR (\S+\.py)\b")


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
    general = ("-m", "gpu", "-v", "-rfE", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    command = [sys.executable, "-m", "pytest", *general, *options, *map(str, files)]
    outcomes: Counter[str] = Counter()
    wrong: dict[str, str] = {}
    left_out: dict[str, str] = {}
    reasons: dict[str, str] = {}  # of files that cannot be imported
    file = ""
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if match := _OUTCOME.match(line):
                outcomes[match[2].lower()] += 1
                if match[2] in ("FAILED", "ERROR"):
                    wrong[match[1]] = match[2].lower()
            elif match := _COLLECTING.search(line):
                file = match[1]
            elif file and (match := _REASON.match(line)):
                reasons.setdefault(file, match[1])
                continue
            elif match := _UNREADABLE.match(line):
                reason = reasons.get(match[1].replace("../", ""), "cannot be imported")
                if _MISSING in reason:
                    left_out[match[1]] = reason
                else:
                    outcomes["error"] += match[1] not in wrong
                    wrong[match[1]] = reason
            else:
                continue
            report.add("outcomes", dict(outcomes))
            report.add("not_passed", wrong)
            report.add("left_out", left_out)
    report.add("exit_status", process.returncode)
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {outcomes.total()} tests did not pass")
    if not outcomes:
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
