"""`python -m veloxseg` is the command `veloxseg`."""

import sys

from veloxseg.cli import main

sys.exit(main())
