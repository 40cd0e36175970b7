"""The two-stage detector (Faster R-CNN, Mask R-CNN), told once and of no framework."""
