"""yacs' configs, as detectron2 has them."""

from __future__ import annotations

from typing import Any

_VALID = (tuple, list, str, int, float, bool, type(None))


class CfgNode(dict):
    def __init__(self, values: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.__dict__["_new_allowed"] = False
        for key, value in (values or {}).items():
            if type(value) is dict:
                value = CfgNode(value)
            assert isinstance(value, (CfgNode, *_VALID)), f"Key {key} with value {type(value)} is not a valid type"
            self[key] = value

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def set_new_allowed(self, allowed: bool) -> None:
        self.__dict__["_new_allowed"] = allowed
        for value in self.values():
            if isinstance(value, CfgNode):
                value.set_new_allowed(allowed)

    def merge_from_other_cfg(self, other: CfgNode) -> None:
        for key, value in other.items():
            if key not in self:
                if not self.__dict__["_new_allowed"]:
                    raise KeyError(f"Non-existent config key: {key}")
                self[key] = value
            elif isinstance(value, CfgNode) and isinstance(self[key], CfgNode):
                self[key].merge_from_other_cfg(value)
            else:
                self[key] = _coerced(value, self[key], key)


def _coerced(new: Any, old: Any, key: str) -> Any:
    if type(new) is type(old) or new is None or old is None:
        return new
    for one, other in ((tuple, list), (list, tuple)):
        if type(new) is one and type(old) is other:
            return other(new)
    raise ValueError(f"Type mismatch ({type(old)} vs. {type(new)}) with values ({old} vs. {new}) for config key: {key}")


def get_cfg() -> CfgNode:
    """Some of detectron2's defaults."""
    return CfgNode(
        {
            "VERSION": 2,
            "MODEL": {
                "DEVICE": "cuda",
                "WEIGHTS": "",
                "MASK_ON": False,
                "META_ARCHITECTURE": "GeneralizedRCNN",
                "PIXEL_MEAN": [103.53, 116.28, 123.675],
                "RPN": {"NMS_THRESH": 0.7, "BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0)},
                "ROI_HEADS": {"SCORE_THRESH_TEST": 0.05, "NMS_THRESH_TEST": 0.5, "NUM_CLASSES": 80},
            },
            "DATASETS": {"TRAIN": (), "TEST": ()},
            "TEST": {"DETECTIONS_PER_IMAGE": 100},
        }
    )
