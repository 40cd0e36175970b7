"""Many pictures on the machines of a Ray cluster: a command, an actor for `ray.data`, a deployment for Ray Serve.

Ray is a package of its own, `ray`; this one is always `maskrt.ray`.
"""

from maskrt.ray.predictor import Predictor

__all__ = ["Predictor"]
