"""torchvision's MaskRCNN and FasterRCNN: all that is known of `torchvision.models.detection`."""
