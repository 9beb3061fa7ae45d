"""`python -m turnd`: the same as the `turnd` command."""

import sys

from turnd.cli import main

sys.exit(main())
