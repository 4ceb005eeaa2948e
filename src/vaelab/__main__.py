"""`python -m vaelab`: the command line."""

import sys

from vaelab.commands.main import main

sys.exit(main())
