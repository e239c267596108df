"""`python -m ambos`."""

import sys

from ambos.cli.command_line import main

sys.exit(main())
