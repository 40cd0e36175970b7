"""What the doctor found of one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OK, MISSING, BROKEN = "ok", "missing", "broken"
STATES = (OK, MISSING, BROKEN)


@dataclass(frozen=True)
class Finding:
    """One line of the answer.

    Attributes:
        state: "ok": it works; "missing": it is not here; "broken": it is here, and does not work.
        detail: what is there, or a sentence of what is wrong.
        remedy: the command that mends it; None where there is none, or where `detail` names it.
    """

    state: str
    detail: str
    remedy: str | None = None

    @classmethod
    def from_json(cls, value: object) -> Finding:
        """Read what a probe printed.

        Raises:
            ValueError: it is nothing of the kind.
        """
        if not isinstance(value, Mapping):
            raise ValueError("no object")
        state, detail, remedy = (value.get(name) for name in ("state", "detail", "remedy"))
        if state not in STATES or not isinstance(detail, str) or not isinstance(remedy, str | None):
            raise ValueError("no finding")
        return cls(state, detail, remedy)
