"""Starts vLLM's server so that it cannot outlive us. Runs in vLLM's environment, as a script:

    python _boot.py FD ARGUMENTS...

FD is the reading end of a pipe whose other end we hold: when it closes, however we ended, the
server's whole process group is killed. vLLM starts its engine in a process of its own, which runs
this file again under another name; that one leaves with the server.

Knows nothing of the rest of the package, because vLLM's environment need not have it.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

_PR_SET_PDEATHSIG = 1

# The newest first: the module that serves has moved between versions.
_SERVERS = ("vllm.entrypoints.launchers.api_server.entry", "vllm.entrypoints.openai.api_server")


def _watch(lifeline: int) -> None:
    """Kill the process group when nobody holds the other end of the pipe any more."""
    while os.read(lifeline, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _server() -> str:
    """The module to run."""
    for name in _SERVERS:
        try:
            if find_spec(name) is not None:
                return name
        except ModuleNotFoundError:
            continue
    raise SystemExit(f"{sys.executable} has no vLLM server; tried {', '.join(_SERVERS)}")


def main() -> None:
    lifeline = int(sys.argv[1])
    os.set_inheritable(lifeline, False)
    Thread(target=_watch, args=(lifeline,), daemon=True).start()
    name = _server()
    sys.argv = [name, *sys.argv[2:]]
    runpy.run_module(name, run_name="__main__")


# Where vLLM finds `_vllm_worker`. Last, so that nothing beside it hides a module of vLLM's; spawned
# processes inherit the path.
_HERE = str(Path(__file__).parent)
sys.path[:] = [*(place for place in sys.path if place != _HERE), _HERE]

if __name__ == "__mp_main__" and sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
if __name__ == "__main__":
    main()
