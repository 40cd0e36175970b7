"""The cheapest set of layer groups to keep in FP16 so that the loss of AP stays within a budget.

Cheapest means the fewest multiply-accumulates. Every decision is a measurement on the user's data set; nothing is known
beforehand about which layers are sensitive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Measure = Callable[[frozenset[str]], float]
"""From the groups kept in FP16 to the loss of AP."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        kept: the groups to keep in FP16.
        drop: the loss of AP with them.
        gains: for each group, by how much the loss falls when it alone is kept; empty if that was not needed.
    """

    kept: frozenset[str]
    drop: float
    gains: dict[str, float]


def search(macs: Mapping[str, float], measure: Measure, budget: float) -> SearchResult:
    """Find groups to keep, or where no set meets the budget, those with the least loss.

    First each group alone is kept, which shows its sensitivity; if one suffices, the cheapest such is the answer.
    Otherwise groups are kept in the order of gain per multiply-accumulate until the budget is met, and then given up
    again, the most expensive first, where that does not break it.

    Args:
        macs: multiply-accumulates of each group that can be kept.
        measure: called for one set after the other.
        budget: the largest loss allowed.
    """
    measured: dict[frozenset[str], float] = {}

    def drop(kept: frozenset[str]) -> float:
        if kept not in measured:
            measured[kept] = measure(kept)
        return measured[kept]

    def cost(kept: frozenset[str]) -> float:
        return sum(macs[group] for group in kept)

    everything_quantized = drop(frozenset())
    if everything_quantized <= budget:
        return SearchResult(frozenset(), everything_quantized, {})
    gains = {group: everything_quantized - drop(frozenset({group})) for group in macs}
    kept: frozenset[str] = frozenset()
    if min(measured.values()) > budget:
        for group in sorted(macs, key=lambda group: gains[group] / max(macs[group], 1.0), reverse=True):
            kept |= {group}
            if drop(kept) <= budget:
                break
        for group in sorted(kept, key=lambda group: macs[group], reverse=True):
            if drop(kept) <= budget and drop(kept - {group}) <= budget:
                kept -= {group}
    met = [groups for groups, loss in measured.items() if loss <= budget]
    best = min(met, key=cost) if met else min(measured, key=lambda groups: (measured[groups], cost(groups)))
    return SearchResult(best, measured[best], gains)
