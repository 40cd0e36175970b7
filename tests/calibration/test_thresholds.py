import numpy as np
import pytest

from maskrt.calibration.thresholds import ThresholdCollector


def collect(method, batches, percentile=99.9):
    collector = ThresholdCollector(method, percentile)
    for values in batches:
        collector.add("t", values)
    return collector.thresholds()["t"]


def normal(count, seed=0):
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def test_max_is_the_largest_absolute_value_of_all_images():
    assert collect("max", [np.float32([[1, -3]]), np.float32([2])]) == 3


@pytest.mark.parametrize("percentile", [99.0, 99.9])
def test_percentile_is_that_of_the_absolute_values(percentile):
    batches = [normal(60_000, seed) * scale for seed, scale in enumerate((1, 3, 2))]
    expected = np.percentile(np.abs(np.concatenate(batches)), percentile)
    assert collect("percentile", batches, percentile) == pytest.approx(expected, rel=0.01)


def test_percentile_of_a_large_feature_map_is_about_that_of_all_its_values():
    values = np.abs(normal(2_000_000)).reshape(1, 20, 250, 400)
    assert collect("percentile", [values]) == pytest.approx(np.percentile(values, 99.9), rel=0.05)


def test_entropy_cuts_a_lonely_outlier_off_but_keeps_the_bulk():
    values = np.append(normal(100_000), np.float32(60))
    threshold = collect("entropy", [values])
    assert 2.5 < threshold < 20


@pytest.mark.parametrize("method", ["max", "percentile", "entropy"])
def test_a_tensor_of_zeros(method):
    assert collect(method, [np.zeros((2, 3), np.float32)]) == 0


@pytest.mark.parametrize("method", ["max", "percentile", "entropy"])
def test_nothing_beyond_the_largest_value_is_covered(method):
    values = np.float32([0.5, 1.0, 2.0] * 100)
    assert 0 < collect(method, [values]) <= 2


def test_a_tensor_that_is_almost_always_zero_is_not_cut_to_zero():
    values = np.zeros(100_000, np.float32)
    values[:5] = 3
    assert 0 < collect("percentile", [values], 99.9) <= 3


def test_tensors_without_values_have_no_threshold():
    assert ThresholdCollector("max", 99.9).thresholds() == {}
