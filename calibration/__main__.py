"""`python -m maskrt.calibration`."""

import sys

from maskrt.calibration.cli import main

sys.exit(main())
