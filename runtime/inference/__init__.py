"""The work of `maskrt infer`: sources in, results out."""
