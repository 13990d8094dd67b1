"""What every benchmark prints beside its numbers."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

LOOPS = {"asyncio": "asyncio (uvloop)", "trio": "trio"}


def hold_to_one_core() -> int | None:
    """Stay on the last core that we may use; None where a process cannot choose."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def machine() -> dict[str, str]:
    """Machine and versions."""
    facts = {
        "machine": f"{platform.system()} {platform.machine()} {_processor()}, "
        f"{os.cpu_count()} cores",
        "python": sys.version.split()[0],
    }
    for name in ("anyio", "trio", "msgspec", "uvloop", "torch"):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    facts["answer reader"] = "C" if _reads_in_c() else "Python"
    return facts


def _reads_in_c() -> bool:
    return find_spec("duologue.agents.models.vllm._answer") is not None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
