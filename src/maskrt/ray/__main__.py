"""`python -m maskrt.ray`; see `maskrt.ray.cli`."""

import sys

from maskrt.command import run_module

if __name__ == "__main__":
    sys.exit(run_module("maskrt.ray", "maskrt.ray.cli"))
