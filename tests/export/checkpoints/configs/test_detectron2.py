import contextlib
from pathlib import Path

import pytest

from maskrt.export.checkpoints import ConfigError
from maskrt.export.checkpoints.configs.base import Unknown
from maskrt.export.checkpoints.configs.detectron2 import read_detectron2_config, zoo_config
from maskrt.export.checkpoints.configs.detectron2_defaults import DEFAULTS
from maskrt.export.checkpoints.zoo.detectron2 import BASES, find_base


@pytest.fixture
def read(tmp_path):
    """`read(text, name="config.yaml", **other files)` -> the config."""

    def read(text, name="config.yaml", **files):
        for other, content in files.items():
            (tmp_path / f"{other}.yaml").write_text(content)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return read_detectron2_config(path)

    return read


def test_a_config_that_says_nothing_has_the_defaults(read):
    config = read("VERSION: 2\n")
    assert config.values == DEFAULTS
    assert config.given == {"VERSION"}
    assert config.unknown == ()
    assert config.notes == ()


def test_what_is_given_and_what_is_not(read):
    config = read("MODEL:\n  MASK_ON: true\n  ROI_HEADS: {NUM_CLASSES: 3}\nSOLVER:\n  STEPS: (1, 2)\n")
    assert config.given == {"MODEL.MASK_ON", "MODEL.ROI_HEADS.NUM_CLASSES"}
    assert config.value("MODEL.ROI_HEADS.NUM_CLASSES") == 3
    assert config.value("MODEL.RPN.NMS_THRESH") == 0.7
    with pytest.raises(ConfigError, match=r"has no MODEL\.RPN\.NOTHING, which is needed"):
        config.value("MODEL.RPN.NOTHING")
    assert config.value("MODEL.RPN.NOTHING", 5) == 5


def test_bases_beside_it(read, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "Base.yaml").write_text("MODEL: {MASK_ON: true, RESNETS: {DEPTH: 34, NORM: BN}}\n")
    (tmp_path / "a/Middle.yaml").write_text("_BASE_: ../Base.yaml\nMODEL: {RESNETS: {DEPTH: 101}}\n")
    config = read("_BASE_: a/Middle.yaml\nMODEL: {ROI_HEADS: {NUM_CLASSES: 2}}\n")
    resnets = config.values["MODEL"]["RESNETS"]
    assert (resnets["DEPTH"], resnets["NORM"], config.values["MODEL"]["MASK_ON"]) == (101, "BN", True)
    assert config.notes == ()


@pytest.mark.parametrize(
    "base",
    [
        "../Base-RCNN-FPN.yaml",
        "Base-RCNN-FPN.yaml",
        "detectron2/configs/Base-RCNN-FPN.yaml",
        "https://raw.githubusercontent.com/facebookresearch/detectron2/main/configs/Base-RCNN-FPN.yaml",
    ],
)
def test_a_base_of_detectron2_that_is_not_there(read, base):
    config = read(f"_BASE_: '{base}'\nMODEL:\n  MASK_ON: True\n")
    assert config.values["MODEL"]["RPN"]["IN_FEATURES"] == ["p2", "p3", "p4", "p5", "p6"]
    assert "detectron2's own config of that name was taken" in config.notes[0]


def test_a_base_beside_it_before_detectron2s(read):
    config = read("_BASE_: Base-RCNN-FPN.yaml\n", **{"Base-RCNN-FPN": "MODEL: {RPN: {IN_FEATURES: [p3]}}\n"})
    assert config.values["MODEL"]["RPN"]["IN_FEATURES"] == ["p3"]
    assert config.notes == ()


def test_models_of_the_zoo_as_bases():
    assert find_base("../COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml") is not None
    assert find_base("mask_rcnn_R_50_FPN_3x_gn.yaml") is not None
    assert find_base("mask_rcnn_R_50_FPN_1x.yaml") is None  # of COCO and of LVIS
    assert find_base("mine.yaml") is None
    assert find_base("") is None
    assert set(BASES) == {"Base-RCNN-FPN", "Base-RCNN-C4", "Base-RCNN-DilatedC5", "Base-Keypoint-RCNN-FPN"}


def test_the_zoo():
    """Where the configs differ, from detectron2's repository."""
    fpn = zoo_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x").values["MODEL"]
    assert fpn["RPN"]["PRE_NMS_TOPK_TEST"] == 1000
    assert fpn["ANCHOR_GENERATOR"]["SIZES"] == [[32], [64], [128], [256], [512]]
    assert (fpn["ROI_BOX_HEAD"]["NUM_FC"], fpn["ROI_BOX_HEAD"]["POOLER_RESOLUTION"]) == (2, 7)
    assert (fpn["ROI_MASK_HEAD"]["NUM_CONV"], fpn["MASK_ON"]) == (4, True)
    c4 = zoo_config("COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x").values["MODEL"]
    assert (c4["ROI_HEADS"]["NAME"], c4["RPN"]["PRE_NMS_TOPK_TEST"]) == ("Res5ROIHeads", 6000)
    dc5 = zoo_config("COCO-Detection/faster_rcnn_R_101_DC5_3x").values["MODEL"]
    assert (dc5["RESNETS"]["RES5_DILATION"], dc5["RESNETS"]["DEPTH"], dc5["MASK_ON"]) == (2, 101, False)
    x101 = zoo_config("COCO-Keypoints/keypoint_rcnn_X_101_32x8d_FPN_3x").values["MODEL"]
    assert (x101["RESNETS"]["NUM_GROUPS"], x101["RESNETS"]["STRIDE_IN_1X1"]) == (32, False)
    assert x101["PIXEL_STD"] == [57.375, 57.12, 58.395]
    assert (x101["KEYPOINT_ON"], x101["ROI_HEADS"]["NUM_CLASSES"]) == (True, 1)
    gn = zoo_config("Misc/scratch_mask_rcnn_R_50_FPN_9x_gn").values["MODEL"]
    assert (gn["FPN"]["NORM"], gn["ROI_BOX_HEAD"]["NUM_CONV"], gn["RESNETS"]["STRIDE_IN_1X1"]) == ("GN", 4, False)
    lsj = zoo_config("new_baselines/mask_rcnn_R_101_FPN_400ep_LSJ").values["MODEL"]
    assert (lsj["RPN"]["CONV_DIMS"], lsj["RESNETS"]["STRIDE_IN_1X1"], lsj["FPN"]["NORM"]) == ([-1, -1], True, "SyncBN")
    lvis = zoo_config("LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x").values
    assert (lvis["TEST"]["DETECTIONS_PER_IMAGE"], lvis["MODEL"]["ROI_HEADS"]["SCORE_THRESH_TEST"]) == (300, 0.0001)


def test_texts_that_are_python(read):
    """As yacs takes them: YAML knows no tuples, and takes 1e-3 for a text."""
    config = read(
        "MODEL:\n  PIXEL_MEAN: (1.0, 2.0, 3)\n  RPN: {NMS_THRESH: 6e-1, CONV_DIMS: '[-1, 64]'}\n"
        "  ANCHOR_GENERATOR: {SIZES: '[[8], [16]]', ASPECT_RATIOS: [0.5, 2]}\n"
        "DATASETS:\n  TRAIN: ('coco_2017_train', )\n  TEST: my_data\nINPUT: {MIN_SIZE_TEST: '640'}\n"
    )
    model = config.values["MODEL"]
    assert model["PIXEL_MEAN"] == [1.0, 2.0, 3]
    assert (model["RPN"]["NMS_THRESH"], model["RPN"]["CONV_DIMS"]) == (0.6, [-1, 64])
    assert model["ANCHOR_GENERATOR"] == {
        "NAME": "DefaultAnchorGenerator",
        "SIZES": [[8], [16]],
        "ASPECT_RATIOS": [[0.5, 2]],
        "OFFSET": 0.0,
    }
    assert config.values["DATASETS"] == {"TRAIN": ["coco_2017_train"], "TEST": ["my_data"]}
    assert config.values["INPUT"]["MIN_SIZE_TEST"] == 640


def test_tags_of_old_dumps(read):
    config = read("MODEL:\n  RPN:\n    BBOX_REG_WEIGHTS: !!python/tuple\n    - 1.0\n    - 2.0\n    - 3.0\n    - 4.0\n")
    assert config.values["MODEL"]["RPN"]["BBOX_REG_WEIGHTS"] == [1.0, 2.0, 3.0, 4.0]
    config = read("MODEL:\n  ROI_BOX_HEAD: {NORM: null}\n")
    assert config.values["MODEL"]["ROI_BOX_HEAD"]["NORM"] == ""


def test_references_within_a_file(read):
    config = read(
        "MODEL:\n  RPN: {BBOX_REG_WEIGHTS: &id001 [1, 2, 3, 4]}\n  ROI_BOX_HEAD: {BBOX_REG_WEIGHTS: *id001}\n"
    )
    assert config.values["MODEL"]["ROI_BOX_HEAD"]["BBOX_REG_WEIGHTS"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch hostile-was-run']",
        "!!python/object/new:os.system ['touch hostile-was-run']",
        "!!python/object/apply:eval [\"open('hostile-was-run', 'w')\"]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!mine {a: 1}",
    ],
)
def test_tags_that_would_run_code(read, tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    config = read(f"OTHER: {tag}\nMODEL: {{MASK_ON: true}}\n")
    assert isinstance(config.values["OTHER"], Unknown)
    with pytest.raises(ConfigError, match=r"gives MODEL\.RPN\.NMS_THRESH with the YAML tag .* which would run code"):
        read(f"MODEL:\n  RPN:\n    NMS_THRESH: {tag}\n")
    assert not (tmp_path / "hostile-was-run").exists()


def test_keys_of_projects_are_named(read):
    config = read("MODEL:\n  POINT_HEAD: {NUM_FC: 3}\n  ROI_MASK_HEAD: {POINT_HEAD_ON: true}\nMY_PROJECT: 1\n")
    assert config.unknown == ("MODEL.POINT_HEAD", "MODEL.ROI_MASK_HEAD.POINT_HEAD_ON", "MY_PROJECT")
    (note,) = config.notes
    assert note.endswith("which were left out: 'MODEL.POINT_HEAD', 'MODEL.ROI_MASK_HEAD.POINT_HEAD_ON', 'MY_PROJECT'.")
    assert config.value("MODEL.ROI_MASK_HEAD.POINT_HEAD_ON") is True


def test_configs_before_version_2(read):
    config = read(
        "VERSION: 1\nMODEL:\n  WEIGHT: a.pkl\n  RPN: {ANCHOR_SIZES: [[16]]}\n"
        "  ROI_HEADS: {SCORE_THRESH: 0.3, NMS: 0.4}\n"
        "TEST: {DETECTIONS_PER_IMG: 50, AUG_ON: true}\n"
    )
    heads = config.values["MODEL"]["ROI_HEADS"]
    assert (heads["SCORE_THRESH_TEST"], heads["NMS_THRESH_TEST"]) == (0.3, 0.4)
    assert config.values["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] == [[16]]
    assert config.values["TEST"] == {"DETECTIONS_PER_IMAGE": 50, "AUG": {"ENABLED": True}}
    assert config.unknown == ()
    assert "renamed to those of version 2" in config.notes[0]
    assert read("MODEL: {WEIGHT: a.pkl}\nTEST: {DETECTIONS_PER_IMG: 7}\n").value("TEST.DETECTIONS_PER_IMAGE") == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("- 1\n- 2\n", "no mapping of keys"),
        ("a: [1\n", "it is no YAML in line 2"),
        ("a: \t1\n\t- b", "it is no YAML"),
        ("\x00", "it is no YAML"),
        ("VERSION: 3\n", "is of version 3; expected 2"),
        ("VERSION: two\n", "is of version 'two'; expected 2"),
        ("MODEL: 5\n", "says MODEL as 5; expected a group of keys"),
        ("MODEL: {RPN: [1]}\n", r"says MODEL\.RPN as \[1\]; expected a group"),
        ("MODEL: {META_ARCHITECTURE: RetinaNet}\n", "META_ARCHITECTURE is 'RetinaNet'. Expected GeneralizedRCNN"),
        ("MODEL: {MASK_ON: 1}\n", "says MODEL.MASK_ON as 1; expected true or false"),
        (
            "MODEL: {ROI_HEADS: {NUM_CLASSES: 3.5}}\n",
            "says MODEL.ROI_HEADS.NUM_CLASSES as 3.5; expected a whole number",
        ),
        ("MODEL: {ROI_HEADS: {NUM_CLASSES: -3}}\n", "expected a number from 1"),
        ("MODEL: {ROI_HEADS: {NUM_CLASSES: many}}\n", "as 'many'; expected a whole number"),
        ("MODEL: {ROI_HEADS: {SCORE_THRESH_TEST: .nan}}\n", "expected a number from 0 to 1"),
        ("MODEL: {PIXEL_MEAN: [1, 2]}\n", r"says MODEL\.PIXEL_MEAN as \[1, 2\]; expected 3 numbers"),
        ("MODEL: {PIXEL_MEAN: [a, b, c]}\n", "says MODEL.PIXEL_MEAN as 'a'; expected a number"),
        ("MODEL: {PIXEL_MEAN: [.inf, 1, 2]}\n", "says MODEL.PIXEL_MEAN as inf"),
        ("MODEL: {PIXEL_STD: [0, 1, 1]}\n", "says MODEL.PIXEL_STD as 0"),
        ("MODEL: {ANCHOR_GENERATOR: {SIZES: []}}\n", "says MODEL.ANCHOR_GENERATOR.SIZES as an empty list"),
        ("MODEL: {ANCHOR_GENERATOR: {SIZES: [[]]}}\n", "says MODEL.ANCHOR_GENERATOR.SIZES as an empty list"),
        ("MODEL: {ANCHOR_GENERATOR: {SIZES: 3}}\n", "says MODEL.ANCHOR_GENERATOR.SIZES as 3; expected a list"),
        ("MODEL: {ROI_BOX_CASCADE_HEAD: {BBOX_REG_WEIGHTS: [[1, 2]]}}\n", r"as \[1, 2\]; expected 4 numbers"),
        ("INPUT: {FORMAT: 3}\n", "says INPUT.FORMAT as 3; expected a text"),
        ("model:\n  _target_: detectron2.modeling.GeneralizedRCNN\n", "is the dump of a LazyConfig"),
        ("_BASE_: missing.yaml\n", "its _BASE_ 'missing.yaml' is not there. Put .*missing.yaml there"),
        ("_BASE_: https://example.com/mine.yaml\n", "is not a file. Download it"),
        ("_BASE_: [a.yaml]\n", r"its _BASE_ is \['a\.yaml'\], expected the name of a file"),
        ("_BASE_: config.yaml\n", "leads back to itself"),
        ("_BASE_: .\n", "is a folder"),
        ("a: &a [*a]\n", "multiply to more than"),
        ("!!python/object/apply:os.system [true]\n", "no mapping of keys"),
        ("? [a, b]\n: 1\n", "no YAML|cannot be read"),
        ("a: !!int 1_x\n", "a value in it cannot be read"),
        ("a: 2001-99-99\n" * 1, None),
    ],
)
def test_bad_configs(read, text, message):
    if message is None:
        read(text)
        return
    with pytest.raises(ConfigError, match=message) as caught:
        read(text)
    assert str(caught.value).endswith(".")


def test_a_base_that_disagrees_on_what_is_a_group(read):
    with pytest.raises(ConfigError, match="its base says 'RPN' as a value, it as a group"):
        read("_BASE_: Base.yaml\nMODEL: {RPN: {NMS_THRESH: 0.5}}\n", Base="MODEL: {RPN: 3}\n")


def test_small_files_that_become_large(read):
    laughs = "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(ConfigError, match="multiply to more than 100000 values"):
        read(laughs)
    merges = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))
    with contextlib.suppress(ConfigError):  # newer versions of PyYAML count each key once
        assert read(merges).values["a39"] == {"x": 1}
    with pytest.raises(ConfigError, match=r"cannot be read|no YAML|multiply"):
        read("[" * 5000)
    with pytest.raises(ConfigError, match="more than 256 KiB"):
        read("# " + "x" * (1 << 18))


def test_a_python_config(read):
    with pytest.raises(ConfigError, match="is a LazyConfig of detectron2, a program"):
        read("model = 1", name="mask_rcnn.py")


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="There is no config"):
        read_detectron2_config(tmp_path / "missing.yaml")
    (tmp_path / "model.yaml").write_bytes(b"\x80\x04\xff\xfe")
    with pytest.raises(ConfigError, match=r"no text in UTF-8\. Give a config file, not the checkpoint"):
        read_detectron2_config(Path(tmp_path / "model.yaml"))
    with pytest.raises(ConfigError, match="no regular file"):
        read_detectron2_config(Path("/dev/null"))
