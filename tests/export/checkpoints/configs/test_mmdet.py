from pathlib import Path

import pytest

from maskrt.export.checkpoints import ConfigError
from maskrt.export.checkpoints.configs.mmdet import (
    class_names,
    mmdet_config,
    parse_mmdet_config,
    read_mmdet_config,
)

DUMP = """auto_scale_lr = dict(base_batch_size=16, enable=False)
backend_args = None
img_scale = (
    1333,
    800,
)
model = dict(
    backbone=dict(
        depth=50, init_cfg=None, norm_cfg=dict(requires_grad=True, type='BN'), out_indices=(
            0,
            1,
        ), style='pytorch', type='ResNet'),
    rpn_head=dict(bbox_coder=dict(target_means=[
        -0.5,
        .0,
    ])),
    type='MaskRCNN')
test_pipeline = [
    dict(keep_ratio=True, scale=img_scale, type='Resize'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
resume = {'a.b': 1e-3, 'inf': float('inf')}
work_dir: str = 'out'
"""


def test_a_dump():
    config = parse_mmdet_config(DUMP, "config.py")
    expected: dict[str, object] = {}
    exec(DUMP, expected)
    assert config.values["img_scale"] == [1333, 800]
    assert config.values["model"]["backbone"]["out_indices"] == [0, 1]
    assert config.values["model"]["rpn_head"]["bbox_coder"]["target_means"] == [-0.5, 0.0]
    assert config.values["test_dataloader"]["dataset"]["pipeline"][0]["scale"] == [1333, 800]
    assert config.values["resume"] == {"a.b": 0.001, "inf": float("inf")}
    assert config.value("model.backbone.norm_cfg.type") == "BN"
    assert config.value("test_pipeline.0.type") == "Resize"
    assert set(config.values) == set(expected) - {"__builtins__", "__annotations__"}


def test_what_is_not_literal_is_refused_where_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (
        "import os\nfrom mmdet.models import ResNet\nroot = 'data/'\n"
        "model = dict(lr=0.02 / 8, path=root + 'a', kind=ResNet, ran=os.system('touch hostile-was-run'),\n"
        "    good=[1, root],"
        "    made=dict(**{'a': 1}), more=[*[1]], text=f'{root}', key={root: 1}, of=dict([('a', 1)]), neg=-1)\n"
    )
    config = parse_mmdet_config(text, "config.py")
    assert config.value("model.good") == [1, "data/"]
    assert config.value("model.neg") == -1
    for name, written in (
        ("lr", "0.02 / 8"),
        ("path", "root"),
        ("kind", "import ResNet"),
        ("ran", "os.system"),
        ("made", "dict"),
        ("more", "1"),
        ("text", "root"),
        ("key", "root"),
        ("of", "dict"),
    ):
        with pytest.raises(
            ConfigError, match=rf"gives model\.{name} as ['\"].*{written}.*which only running it would tell"
        ):
            config.value(f"model.{name}")
    with pytest.raises(ConfigError, match="gives model as"):
        config.value("model")
    assert not (tmp_path / "hostile-was-run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(", "line 1 of it is no Python"),
        ("model = dict(type='A'\nx = 1\n", "of it is no Python"),
        ("a = 1\n\0", "it is no config|no Python"),
        ("_base_ = ['../_base_/models/mask-rcnn_r50_fpn.py']\n", "line 1 is based on other configs"),
        (
            "model = dict(backbone=dict(_delete_=True))\n",
            "'_delete_' in line 1 is for a config that is based on others",
        ),
        (
            "from mmengine.config import read_base\nwith read_base():\n    from .a import *\n",
            "line 2 is based on other",
        ),
        ("from a import *\n", "line 1 imports names that it does not say"),
        ("model = dict()\nmodel['type'] = 'A'\n", "line 2 does more than assign"),
        ("model = dict()\nmodel.update(a=1)\n", "line 2 does more than assign"),
        ("a = []\na += [1]\n", "line 2 does more than assign"),
        ("a, b = 1, 2\n", "line 1 does more than assign"),
        ("if True:\n    a = 1\n", "line 1 does more than assign"),
        ("for a in []:\n    pass\n", "line 1 does more than assign"),
        ("def f():\n    pass\n", "line 1 does more than assign"),
        ("del a\n", "line 1 does more than assign"),
        ("a = 1" + "0" * 5000, "no Python|no config|impossible number"),
        ("a = " + "[" * 300 + "]" * 300, "no Python|no config|nested too deeply|more values"),
        ("a = " + "-" * 10000 + "1", "no Python|no config|nested too deeply"),
        ("a = [1]\n" + "".join(f"a = [{', '.join('a' * 1)}, a]\n" for _ in range(40)), "more values than any config"),
    ],
)
def test_bad_configs(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_mmdet_config(text, "config.py")
    assert str(caught.value).endswith(".")


def test_deep_sums_take_no_stack():
    try:
        config = parse_mmdet_config("a = " + "1+" * 20_000 + "1\nb = 2\n", "config.py")
    except ConfigError:
        return
    assert config.value("b") == 2


def test_the_config_in_a_checkpoint():
    for meta in ({"cfg": DUMP}, {"config": DUMP}, {"cfg": "", "config": DUMP}):
        config = mmdet_config({"meta": meta}, "epoch_12.pth")
        assert config is not None
        assert config.source == "the config in epoch_12.pth"
        assert config.values["model"]["type"] == "MaskRCNN"
    for values in (
        {"model": {"type": "A"}},
        {"_cfg_dict": {"model": {"type": "A"}}},
        [{"model": {"type": "A"}}, "a.py"],
    ):
        config = mmdet_config({"meta": {"cfg": values}}, "epoch_12.pth")
        assert config is not None
        assert config.value("model.type") == "A"
    for other in (
        {},
        {"meta": None},
        {"meta": {}},
        {"meta": {"cfg": 5}},
        {"meta": {"cfg": {"a": 1}}},
        {"meta": {"cfg": [1]}},
    ):
        assert mmdet_config(other, "epoch_12.pth") is None


def test_class_names():
    assert class_names({"meta": {"dataset_meta": {"classes": ["a", "b"]}}}) == ["a", "b"]
    assert class_names({"meta": {"dataset_meta": {"CLASSES": ["a"]}}}) == ["a"]
    assert class_names({"meta": {"CLASSES": ["c", "d"]}}) == ["c", "d"]
    assert class_names({"meta": {"CLASSES": "cone"}}) == ["cone"]
    for other in ({}, {"meta": 1}, {"meta": {}}, {"meta": {"CLASSES": None}}, {"meta": {"CLASSES": [1]}}):
        assert class_names(other) is None


def test_files(tmp_path):
    (tmp_path / "config.py").write_text(DUMP)
    assert read_mmdet_config(tmp_path / "config.py").source == str(tmp_path / "config.py")
    with pytest.raises(ConfigError, match="There is no config"):
        read_mmdet_config(tmp_path / "missing.py")
    with pytest.raises(ConfigError, match="no regular file"):
        read_mmdet_config(Path("/dev/null"))
