"""COCO data sets, predictions and average precision; it knows no exporter, no calibration and no engine builder."""
