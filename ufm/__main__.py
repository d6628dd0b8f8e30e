"""`python -m ufm`: the command line."""

import sys

from ufm.cli.program import main

sys.exit(main())
