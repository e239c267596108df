"""`python -m ambos.cli`."""

import sys

from ambos.cli import main

sys.exit(main())
