"""Takes the names of wrappers off the names of weights, until those of a detector are left.

`DataParallel`, `torch.compile`, FSDP and activation checkpointing leave a word wherever they wrapped a module;
Lightning and the like one before every name. Mean Teacher keeps two models: the teacher's weights are taken, which its
methods evaluate, unless the config says the student's. What the user names (`--checkpoint-key`) comes before all rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from maskrt.export.checkpoints.errors import CheckpointError, shown

_ANYWHERE = frozenset(
    (
        "module",  # DataParallel, DistributedDataParallel, AveragedModel
        "_orig_mod",  # torch.compile
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",  # Lightning Fabric
        "_original_module",
    )
)
_WRAPPERS = frozenset(("model", "net", "network", "detector", "student", "teacher", "modelStudent", "modelTeacher"))
_AVERAGED = frozenset(("ema", "ema_model", "model_ema", "averaged_model", "swa_model"))
_TEACHERS = {"teacher": "student", "modelTeacher": "modelStudent"}
_EMA = "ema_"
_PARTS = frozenset(("rpn", "roi_heads", "proposal_generator", "neck", "rpn_head", "roi_head", "bbox_head", "head"))
_DEEPEST = 8


@dataclass(frozen=True)
class Unwrapped:
    """Names of weights without wrappers.

    Attributes:
        saved: the name that was given, by the name that is left.
        removed: what was taken off, in its order.
        left_out: names that are none of the detector's: counters, losses.
        others: words before the names of other weights of a detector, which were not taken.
    """

    saved: Mapping[str, str]
    removed: tuple[str, ...]
    left_out: tuple[str, ...]
    others: tuple[str, ...] = ()


def unwrap(
    names: Iterable[str],
    file: Path,
    *,
    counters: Iterable[str] = (),
    prefer_student: bool = False,
    wanted: str | None = None,
) -> Unwrapped:
    """Take wrappers off names.

    Args:
        names: of the tensors of a state dict.
        file: where they are from, for the messages.
        counters: those that are single numbers, which no layer of a detector has at its outermost level.
        prefer_student: whether of a teacher's and a student's weights the student's are wanted.
        wanted: words before the names of the weights that the user asks for, with dots between them.

    Raises:
        CheckpointError: two names become one, there are two detectors that nothing tells apart, or none is as wanted.
    """
    single = {name for name in counters if "." not in name}
    left_out = sorted(single)
    saved = {name: name for name in names if name not in single}
    removed: list[str] = []
    others: list[str] = []
    words = [] if wanted is None else wanted.split(".")
    for _ in range(_DEEPEST):
        saved = _without_words(saved, removed, file)
        groups = _groups(saved)
        chosen: str | None
        if words and words[0] in (_EMA, _EMA.rstrip("_")) and _EMA in groups:
            chosen = _EMA
            words.pop(0)
        elif words and _has_detector(groups.get(words[0], ()), 0):
            chosen = words.pop(0)
        elif _is_detector(saved):
            beside = [first for first in groups if first in _AVERAGED | _WRAPPERS | {_EMA}]
            others += beside
            saved = {name: old for name, old in saved.items() if _group(name) not in beside}
            break
        else:
            chosen = _choose(groups, prefer_student, file)
        if chosen is None:
            break
        removed.append(chosen if chosen == _EMA else f"{chosen}.")
        if chosen == _EMA and _is_detector(saved):
            saved = _with_averages(groups)
            continue
        for group, inner in groups.items():
            if group != chosen and _has_detector(inner, 0):
                others.append(group)
            elif group != chosen:
                left_out += inner.values()
        saved = groups[chosen]
    if words:
        raise CheckpointError(
            f"{file} has no weights under {shown(wanted)} (--checkpoint-key). "
            + (f"It has some under {', '.join(map(shown, others))}." if others else "It has one set of weights alone.")
        )
    return Unwrapped(saved, tuple(removed), tuple(left_out), tuple(dict.fromkeys(others)))


def _with_averages(groups: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Put averages in the place of a model's weights, beside which they are: mmcv's EMAHook keeps those of parameters.

    It writes `_` for each dot of their names.
    """
    own = {f"{first}.{rest}": old for first, inner in groups.items() for rest, old in inner.items() if first != _EMA}
    averages = groups[_EMA]
    return {name: averages.get(name, averages.get(name.replace(".", "_"), old)) for name, old in own.items()}


def rename_modules(names: Mapping[str, str]) -> dict[str, str]:
    """Modules' new names by their old ones, where tensors are renamed as `names` says (new by old)."""
    modules: dict[str, str] = {}
    for old, new in names.items():
        while True:
            old, old_dot, old_last = old.rpartition(".")
            new, new_dot, new_last = new.rpartition(".")
            if old in modules or old_last != new_last:
                break
            modules[old] = new
            if not new_dot or not old_dot:
                break
    return modules


def _first(name: str) -> str:
    return name.partition(".")[0]


def _without_words(saved: dict[str, str], removed: list[str], file: Path) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, old in saved.items():
        words = name.split(".")
        kept = [word for word in words[:-1] if word not in _ANYWHERE]
        removed += [f"{word}." for word in words[:-1] if word in _ANYWHERE and f"{word}." not in removed]
        new = ".".join((*kept, words[-1]))
        if new in made:
            raise CheckpointError(
                f"{file} holds {shown(old)} and {shown(made[new])}, which are one name once the wrappers are taken "
                "off. Save the state dict of the model itself: torch.save(model.state_dict(), 'weights.pth')."
            )
        made[new] = old
    return made


def _is_detector(names: Iterable[str]) -> bool:
    firsts = {_first(name) for name in names}
    return "backbone" in firsts and bool(firsts & _PARTS)


def _groups(saved: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Names without their first word, by that word."""
    groups: dict[str, dict[str, str]] = {}
    for name, old in saved.items():
        group = _group(name)
        groups.setdefault(group, {})[name.removeprefix(_EMA) if group == _EMA else name.partition(".")[2]] = old
    return groups


def _group(name: str) -> str:
    """Return the first word of a name, or `ema_`."""
    first = _first(name)
    return _EMA if first.startswith(_EMA) and first not in _AVERAGED else first


def _choose(groups: Mapping[str, Mapping[str, str]], prefer_student: bool, file: Path) -> str | None:
    """Return the first word to take off; None: this is as far as it goes."""
    detectors = [first for first, inner in groups.items() if _has_detector(inner, 0)]
    if not detectors:
        only = next(iter(groups)) if len(groups) == 1 else None
        return only if only in _WRAPPERS | _AVERAGED | {_EMA} else None
    for teacher, student in _TEACHERS.items():
        if teacher in detectors and student in detectors:
            return student if prefer_student else teacher
    own = [first for first in detectors if first not in _AVERAGED | {_EMA}]
    for choice in (own, detectors):
        if len(choice) > 1:
            first, second = (shown(f"{each}.") for each in choice[:2])
            raise CheckpointError(
                f"{file} holds the weights of two models, under {first} and under {second}. Name one of them: "
                f"--checkpoint-key {choice[0]}."
            )
        if choice:
            return choice[0]
    raise AssertionError("no detector in detectors")


def _has_detector(names: Iterable[str], depth: int) -> bool:
    inner = list(names)
    if depth == _DEEPEST or not inner:
        return False
    plain = [".".join(word for word in name.split(".") if word not in _ANYWHERE) for name in inner]
    if _is_detector(plain):
        return True
    return any(_has_detector(group, depth + 1) for group in _groups(dict(zip(plain, plain, strict=True))).values())
