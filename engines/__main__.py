"""`python -m maskrt.engines`."""

import sys

from maskrt.engines.cli import main

sys.exit(main())
