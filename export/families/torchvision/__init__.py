"""torchvision's MaskRCNN and FasterRCNN with a feature pyramid: all that is known of `torchvision.models.detection`."""
