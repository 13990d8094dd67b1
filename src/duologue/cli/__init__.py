"""The command line.

Results go to stdout (`--json`: one object), progress to stderr. Exit codes: 0 done, 1 it failed,
2 it was asked for in a way that cannot be, 130 interrupted.
A command imports its job when it runs, so that `--help` does not wait for what it will not use.
"""

from ._app import app as app
from ._app import main as main
