"""Blocks of pictures on a pool of actors: one that dies costs time, and no picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from maskrt.errors import MaskrtError
from maskrt.ray.rows import Row, failed_row

_ATTEMPTS = 3
"""At a block, and then at each picture of it by itself."""


@dataclass
class Block:
    """Pictures whose rows are written together.

    Attributes:
        number: of the block.
        paths: of the pictures.
        rows: those that are there, by path.
    """

    number: int
    paths: Sequence[str]
    rows: dict[str, Row] = field(default_factory=dict)


@dataclass
class _Task:
    """Pictures of a block that an actor is given, for the n-th time."""

    block: Block
    paths: Sequence[str]
    attempt: int = 1

    def again(self, error: Exception) -> list[_Task]:
        """Return what to do after the actor has died of it, or something else that is none of the pictures' fault."""
        if self.attempt < _ATTEMPTS:
            return [_Task(self.block, self.paths, self.attempt + 1)]
        if len(self.paths) > 1:  # one of them may be at fault
            return [_Task(self.block, [path]) for path in self.paths]
        (path,) = self.paths
        reason = str(error).strip().partition("\n")[0]
        message = f"The process that worked on this picture ended {_ATTEMPTS} times, by itself at last: {reason}"
        self.block.rows[path] = failed_row(path, message)
        return []


def run_blocks(
    start: Callable[[], Any], actors: int, blocks: Sequence[Block], finished: Callable[[Block, list[Row]], None]
) -> None:
    """Give blocks to actors until all are done.

    Args:
        start: starts an actor of `Predictor`, and returns its handle.
        actors: how many there are at a time. In place of one that dies, another one is started.
        blocks: to be done, each with at least one picture.
        finished: is called with each block and its rows, in the order of the pictures.

    Raises:
        MaskrtError: a model cannot be loaded, or what `finished` raises. The other blocks are not done then.
    """
    import ray

    waiting = deque(_Task(block, block.paths) for block in blocks)
    idle = [start() for _ in range(actors)]
    running: dict[Any, tuple[_Task, Any]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                actor, task = idle.pop(), waiting.popleft()
                running[actor.rows.remote(list(task.paths))] = task, actor
            (reference, *_), _ = ray.wait(list(running))
            task, actor = running.pop(reference)
            try:
                rows = ray.get(reference)
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, MaskrtError):
                    raise cause from None
                ray.kill(actor)  # whatever state it is in
                actor = start()
                waiting.extendleft(reversed(task.again(cause or error)))
            else:
                task.block.rows.update(zip(task.paths, rows, strict=True))
            idle.append(actor)
            if len(task.block.rows) == len(task.block.paths):
                finished(task.block, [task.block.rows[path] for path in task.block.paths])
    finally:
        for actor in (*idle, *(actor for _, actor in running.values())):
            ray.kill(actor)
