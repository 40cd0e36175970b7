import itertools

import pytest

from maskrt.calibration.search import search

MACS = {"a": 50.0, "b": 30.0, "c": 15.0, "d": 5.0}


def additive(losses, calls=None):
    """The loss of AP where each quantized group costs its own amount."""

    def measure(kept):
        if calls is not None:
            calls.append(kept)
        return sum(loss for group, loss in losses.items() if group not in kept)

    return measure


def cheapest(losses, budget):
    measure = additive(losses)
    subsets = [frozenset(s) for n in range(len(MACS) + 1) for s in itertools.combinations(MACS, n)]
    return min((sum(MACS[g] for g in s), s) for s in subsets if measure(s) <= budget)[0]


def test_nothing_is_kept_where_everything_quantized_meets_the_budget():
    calls = []
    result = search(MACS, additive(dict.fromkeys(MACS, 0.001), calls), 0.005)
    assert (result.kept, result.drop, result.gains) == (frozenset(), pytest.approx(0.004), {})
    assert calls == [frozenset()]


def test_the_cheapest_single_group_that_suffices():
    result = search(MACS, additive({"a": 0.01, "b": 0, "c": 0.01, "d": 0.001}), 0.012)
    assert result.kept == {"c"}
    assert result.gains == pytest.approx({"a": 0.01, "b": 0, "c": 0.01, "d": 0.001})


@pytest.mark.parametrize(
    "losses",
    [
        {"a": 0.004, "b": 0.003, "c": 0.002, "d": 0.001},
        {"a": 0.0, "b": 0.02, "c": 0.02, "d": 0.02},
        {"a": 0.02, "b": 0.001, "c": 0.001, "d": 0.003},
        {"a": 0.001, "b": 0.009, "c": 0.004, "d": 0.0},
    ],
)
@pytest.mark.parametrize("budget", [0.0005, 0.003, 0.005])
def test_the_cheapest_set_where_losses_add_up(losses, budget):
    result = search(MACS, additive(losses), budget)
    assert result.drop <= budget
    assert sum(MACS[group] for group in result.kept) == cheapest(losses, budget)


def test_no_set_is_measured_twice():
    calls = []
    search(MACS, additive({"a": 0.004, "b": 0.003, "c": 0.002, "d": 0.001}, calls), 0.002)
    assert len(calls) == len(set(calls))


def test_a_budget_that_cannot_be_met_gives_the_least_loss():
    result = search(MACS, lambda kept: 0.02 - 0.01 * ("b" in kept), 0.001)
    assert result.kept == {"b"}
    assert result.drop == pytest.approx(0.01)


def test_groups_that_only_help_together():
    result = search(MACS, lambda kept: 0.0 if {"c", "d"} <= kept else 0.01, 0.001)
    assert result.kept == {"c", "d"}
