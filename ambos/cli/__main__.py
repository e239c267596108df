"""`python -m ambos.cli`."""

import sys

from ambos.cli.command_line import main

sys.exit(main())
