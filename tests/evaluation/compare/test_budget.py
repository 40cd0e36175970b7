import pytest

from maskrt.evaluation.compare.budget import DEFAULT_BUDGETS, read_budgets
from maskrt.runtime import ArgumentError


def test_one_precision_or_all():
    budgets = read_budgets(["mask_iou=0.5", "int8:mask_iou=0.4", "fp16:snr_db=60"])
    assert [budgets[name].mask_iou for name in ("fp32", "fp16", "int8", "fp8")] == [0.5, 0.5, 0.4, 0.5]
    assert (budgets["fp16"].snr_db, budgets["fp32"].snr_db) == (60, DEFAULT_BUDGETS["fp32"].snr_db)
    assert read_budgets([]) == DEFAULT_BUDGETS


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("mask_iou", "is not understood: expected NAME=VALUE or PRECISION:NAME=VALUE"),
        ("masks=0.5", "a NAME of snr_db, proposals, unmatched, box_px, score, mask_iou"),
        ("int4:mask_iou=0.5", "is for 'int4', expected one of fp32, fp16, int8, fp8"),
        ("mask_iou=1.5", "makes no sense: mask_iou should be a number from 0 to 1"),
        ("unmatched=-0.1", "makes no sense: unmatched should be a number from 0 to 1"),
        ("score=nan", "makes no sense: score should be a number from 0 to 1"),
        ("box_px=-3", "makes no sense: box_px should be a number of at least 0"),
        ("box_px=inf", "makes no sense: box_px should be a number of at least 0"),
        ("snr_db=much", "makes no sense: snr_db should be a number from 0 to 200"),
    ],
)
def test_budgets_that_make_no_sense(setting, message):
    with pytest.raises(ArgumentError, match=message):
        read_budgets([setting])
