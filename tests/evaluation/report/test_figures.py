import math

import pytest

from maskrt.evaluation.report import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (0, "0"),
        (0.9996, "1.00"),
        (99.96, "100"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (0.001, "0.00100"),
        (9.99e-5, "9.99e-05"),
        (-45.67, "-45.7"),
        (2e7, "2.00e+07"),
    ],
)
def test_three_significant_digits(value: float | None, text: str):
    assert figures.number(value) == text


@pytest.mark.parametrize(
    ("value", "reference", "text"),
    [(0.6348, 0.6371, "−0.0023"), (0.6626, 0.6624, "+0.0002"), (0.50001, 0.5, "0"), (None, 0.5, "–"), (0.5, None, "–")],
)
def test_change_of_ap(value: float | None, reference: float | None, text: str):
    assert figures.ap_change(value, reference) == text


def test_the_others():
    assert figures.ap(0.63714) == "0.6371"
    assert figures.milliseconds(0.0613) == "61.3"
    assert figures.megabytes(1_234_500_000) == "1,234"
    assert figures.times(1.375) == "1.38×"
    assert figures.share(None) == figures.ap(None) == figures.megabytes(None) == "–"
    assert (figures.count(1, "image"), figures.count(2000, "image")) == ("1 image", "2,000 images")
