"""Videos, streams and cameras in, H.264 out."""
