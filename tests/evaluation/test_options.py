import argparse

import pytest

from maskrt.evaluation.options import fraction, positive


def test_numbers():
    assert positive("12") == 12
    assert [fraction(text) for text in ("0", "0.5", "1")] == [0, 0.5, 1]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_no_positive_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 1"):
        positive(text)


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "half"])
def test_no_fraction(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number from 0 to 1"):
        fraction(text)
