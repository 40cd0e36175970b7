import pytest
import torch

from maskrt.export.rcnn import top_k as top_k_module
from maskrt.export.rcnn.top_k import NEVER, top_k


@pytest.mark.parametrize("count", [3, 4, 5, 8, 9, 20])
@pytest.mark.parametrize("most", [4, 7])
def test_rounds_choose_what_one_choice_would(monkeypatch, count, most):
    monkeypatch.setattr(top_k_module, "MOST_AT_ONCE", most)
    scores = torch.randn(3, 11)
    values, indices = top_k(scores, count)
    expected, places = torch.topk(scores, min(count, 11), dim=1)
    present = values > NEVER
    assert present.sum(dim=1).tolist() == [min(count, 11)] * 3
    torch.testing.assert_close(values[:, : expected.shape[1]], expected, rtol=0, atol=0)
    assert indices[present].reshape(3, -1).tolist() == places.tolist()
    assert int(indices.max()) < 11


def test_equal_scores_are_each_taken_once(monkeypatch):
    monkeypatch.setattr(top_k_module, "MOST_AT_ONCE", 3)
    _, indices = top_k(torch.zeros(1, 8), 8)
    assert sorted(indices[0].tolist()) == list(range(8))
