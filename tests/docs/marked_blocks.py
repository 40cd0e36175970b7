"""What can be said of a block without running it: its commands, their options and its imports exist."""

import argparse
import ast
import importlib
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import NoReturn

import pytest

from maskrt.cli import VERBS

from .blocks import ROOT, Block


class _Parsed(BaseException):
    """The command's options were understood. Not an Exception, so that no command catches it."""


def simple_commands(text: str) -> Iterator[list[str]]:
    """The words of each simple command of a shell block, without assignments before it, redirections kept."""
    lexer = shlex.shlex(text.replace("\\\n", " ").replace("\n", "\n;"), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";|&()"):
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        else:
            words.append(word)


def check_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """That a maskrt command or a make target exists, with these options; other programs are not looked at."""
    name, *arguments = words
    if name == "make":
        planned = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert planned.returncode == 0, planned.stderr
    elif name == "maskrt":
        assert arguments and arguments[0] in VERBS, f"There is no verb {arguments[:1]} of maskrt."
        _parse_only(importlib.import_module(VERBS[arguments[0]].module).main, words[1:], monkeypatch)
    elif name in ("python", "python3") and arguments[:1] == ["-m"] and arguments[1].startswith("maskrt."):
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, arguments[1], raising=False)  # runpy warns of a module that is imported already
            run = partial(runpy.run_module, arguments[1], run_name="__main__", alter_sys=True)
            _parse_only(run, arguments[1:], monkeypatch)


def _parse_only(run: Callable[[], object], words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *arguments: object) -> NoReturn:
        parse(self, *arguments)  # type: ignore[call-overload]
        raise _Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        patch.setattr(sys, "argv", words)
        with pytest.raises((_Parsed, SystemExit)) as ended:
            run()
    assert ended.type is _Parsed, f"`{shlex.join(words)}` is not understood: the usage above says what is."


def check_imports(text: str) -> None:
    """That the block is Python, and that what it imports of maskrt is there."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maskrt"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}."
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("maskrt"):
                    importlib.import_module(alias.name)


def check_marked(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be said of a block without running it."""
    try:
        if block.language == "python":
            check_imports(block.text)
        else:
            for words in simple_commands(block.text):
                check_command(words, monkeypatch)
    except (AssertionError, ImportError, SyntaxError, ValueError) as error:
        raise AssertionError(f"{block.place}: {error}") from None
