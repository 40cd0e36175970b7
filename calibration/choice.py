"""Which layers a quantized file keeps in FP16: written next to it as JSON, and given back in with `--layers`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrt.contract.metadata import load_json
from maskrt.errors import ArgumentError
from maskrt.files import read_text_file
from maskrt.terminal import printable


@dataclass(frozen=True)
class LayerChoice:
    """The groups of layers of a quantized file.

    Attributes:
        macs: group → multiply-accumulates of an average image.
        kept: the groups that stay FP16.
        gains: group → AP that keeping it alone wins back; empty where it was not measured.
    """

    macs: Mapping[str, float]
    kept: frozenset[str]
    gains: Mapping[str, float]

    @property
    def quantized_share(self) -> float:
        """The share of the multiply-accumulates that is quantized, 0–1."""
        return sum(macs for group, macs in self.macs.items() if group not in self.kept) / sum(self.macs.values())

    def table(self, precision: str) -> list[str]:
        """Return a head, and a line per group: share of the multiply-accumulates, and its precision.

        Where it was measured, the AP that keeping the group wins back is shown, too.
        """
        total = sum(self.macs.values())
        names = {group: printable(group) for group in self.macs}
        width = max(map(len, names.values()))
        head = f"  {'AP if kept':>10}" if self.gains else ""
        lines = [f"{'layers':{width}}  {'share of MACs':>13}{head}  precision"]
        for group, macs in self.macs.items():
            gain = f"{self.gains[group]:+10.4f}" if group in self.gains else f"{'':10}"
            shown = f"  {gain}" if self.gains else ""
            lines.append(
                f"{names[group]:{width}}  {macs / total:13.1%}{shown}  {'fp16' if group in self.kept else precision}"
            )
        return lines

    def to_json(self, **context: Any) -> str:
        """Return the choice as JSON text; `context` is added for the reader."""
        groups = [
            {
                "layers": group,
                "fp16": group in self.kept,
                "macs": round(macs),
                **({"ap_if_kept": round(self.gains[group], 5)} if group in self.gains else {}),
            }
            for group, macs in self.macs.items()
        ]
        return json.dumps({**context, "fp16_layers": sorted(self.kept), "groups": groups}, indent=1)


def read_kept_groups(path: Path, groups: Sequence[str]) -> frozenset[str]:
    """Read the groups that a file written by `LayerChoice.to_json` keeps in FP16.

    Raises:
        ArgumentError: it cannot be read, is not such a file, or names layers that the model lacks.
    """
    text = read_text_file(path, "choice of layers", ArgumentError)
    try:
        kept = load_json(text)["fp16_layers"]
    except (ValueError, KeyError, TypeError):
        raise ArgumentError(f"{path} is not a choice of layers that `maskrt quantize` wrote.") from None
    if not isinstance(kept, Collection) or isinstance(kept, str):
        raise ArgumentError(f"{path} is not a choice of layers that `maskrt quantize` wrote.")
    if unknown := sorted(set(map(str, kept)) - set(groups)):
        raise ArgumentError(
            f"{path} keeps layers that this model does not have: {', '.join(unknown)}. It has {', '.join(groups)}."
        )
    return frozenset(map(str, kept))
