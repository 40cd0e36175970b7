"""`python -m maskrt.export`."""

import sys

from maskrt.export.cli import main

sys.exit(main())
