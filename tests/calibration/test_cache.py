import pytest

from maskrt.calibration.cache import read_cache, write_cache
from maskrt.calibration.calibrate import Calibration

CALIBRATION = Calibration({"t": 1.25, "u": 3e-7}, {"backbone": 12345.5}, images=10, empty_images=2)
KEY = {"model": "abc", "images": "def", "method": "max", "percentile": None}


def test_what_was_written_is_read_again(tmp_path):
    write_cache(tmp_path / "cache.json", KEY, CALIBRATION)
    assert read_cache(tmp_path / "cache.json", KEY) == CALIBRATION


@pytest.mark.parametrize("part", ["model", "images", "method", "percentile"])
def test_another_model_image_or_method_is_measured_anew(tmp_path, part):
    write_cache(tmp_path / "cache.json", KEY, CALIBRATION)
    assert read_cache(tmp_path / "cache.json", {**KEY, part: "other"}) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "nonsense"])
def test_a_damaged_cache_is_measured_anew(tmp_path, content):
    (tmp_path / "cache.json").write_text(content)
    assert read_cache(tmp_path / "cache.json", KEY) is None


def test_no_cache_yet(tmp_path):
    assert read_cache(tmp_path / "cache.json", KEY) is None
