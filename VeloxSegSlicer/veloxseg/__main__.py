"""`python -m veloxseg` is the command `veloxseg`."""

import sys

from veloxseg.commands.cli import main

sys.exit(main())
