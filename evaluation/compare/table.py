"""What compare.json says, for a terminal."""

from __future__ import annotations

from maskrt.evaluation.results.compare import Comparison, TensorRecord
from maskrt.terminal import printable


def table(result: Comparison) -> list[str]:
    """Show a line for each file, a line for each tensor, the reasons, and what was not compared."""
    candidates = result.candidates
    names = {candidate.name: printable(candidate.name) for candidate in candidates}
    width = max(map(len, names.values()))
    with_keypoints = any(candidate.detections.keypoint_size is not None for candidate in candidates)
    keypoints = "keypoints  " if with_keypoints else ""
    head = f"precision  verdict   found again  box px   score  mask IoU  {keypoints}least signal to noise"
    lines = [f"{'file':{width}}  {head}"]
    for candidate in candidates:
        found = candidate.detections
        again = f"{found.matched}/{found.reference} +{found.extra}"
        network = [tensor for tensor in candidate.tensors if tensor.onnx is not None and tensor.found is None]
        least = min(network, key=lambda tensor: tensor.snr_db, default=None)
        lines.append(
            f"{names[candidate.name]:{width}}  {candidate.precision:9}  {candidate.verdict:7}  {again:>12}  "
            f"{_number(found.box_px, '6.3f')}  {_number(found.score, '6.4f')}  "
            f"{_number(found.mask_iou, '8.4f')}  "
            + (f"{_number(found.keypoint_size, '9.4f')}  " if with_keypoints else "")
            + ("not known of an engine" if least is None else f"{least.snr_db:.1f} dB, {least.name}")
        )
    exposed = [candidate for candidate in candidates if len(candidate.tensors) > 1]
    if exposed:
        rows = list(dict.fromkeys(tensor.name for candidate in exposed for tensor in candidate.tensors))
        first = max(map(len, rows))
        lines += ["", f"{'signal to noise, dB':{first}}  " + "  ".join(f"{names[c.name]:>12}" for c in exposed)]
        cells = [{tensor.name: tensor for tensor in candidate.tensors} for candidate in exposed]
        for row in rows:
            values = "  ".join(
                f"{_cell(tensors.get(row)):>{max(12, len(names[candidate.name]))}}"
                for tensors, candidate in zip(cells, exposed, strict=True)
            )
            lines.append(f"{row:{first}}  {values}")
    for candidate in candidates:
        if candidate.reasons:
            lines += ["", f"{candidate.name} fails:", *(f"  {reason}." for reason in candidate.reasons)]
    lines += ["", result.reference.remark]
    lines += [*(f"Not compared: {entry.name}. {entry.why}" for entry in result.not_compared)]
    return lines


def _number(value: float | None, form: str) -> str:
    return f"{'–':>{form.partition('.')[0]}}" if value is None else f"{value:{form}}"


def _cell(tensor: TensorRecord | None) -> str:
    """Show signal to noise, with `!` where the budget is missed; of the proposals, the share that is found again."""
    if tensor is None:
        return "–"
    value = f"{tensor.snr_db:.1f}" if tensor.found is None else f"{tensor.found:.1%}"
    return value if tensor.within_budget else f"{value} !"
