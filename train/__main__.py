"""The learner's process; started by the engine's side, never by hand."""

import sys

from ._learner import main

if __name__ == "__main__":
    main(sys.argv)
