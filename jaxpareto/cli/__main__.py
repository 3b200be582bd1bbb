"""`python -m jaxpareto.cli`, where the script is not on the path."""

import sys

from jaxpareto.cli import main

if __name__ == "__main__":
    sys.exit(main())
