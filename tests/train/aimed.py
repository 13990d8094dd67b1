"""`duologue`, except that at a chosen moment a process of it is killed; and what it had promised.

    AIM='{"at": "settle", "when": "after", "call": 3, "kill": "engine"}' NOTES=FILE \\
        python aimed.py train --resume --run DIR

The product knows nothing of this: its functions are wrapped from outside, here and in the
learner's process, which is started through this file too. `kill` is engine, learner or both;
`stall` lets the process that aims, when it survives, hang for so many seconds.

Promises go to NOTES, one line of JSON each, flushed to disk before the product hears that the
call has returned: which trajectories were reported durable, and what every version learned from.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

AIM: dict[str, Any] = json.loads(os.environ.get("AIM", "{}"))
NOTES = Path(os.environ["NOTES"])
LEARNER: list[int] = []
"""Process ids of the learners this engine has started."""


def note(kind: str, **facts: Any) -> None:
    line = json.dumps({"kind": kind, "pid": os.getpid(), **facts}) + "\n"
    handle = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.fsync(handle)
    os.close(handle)


def fire(role: str) -> None:
    note("fired", role=role, **AIM)
    victims = {"engine", "learner"} if AIM["kill"] == "both" else {AIM["kill"]}
    for victim in victims - {role}:
        os.kill(os.getppid() if victim == "engine" else LEARNER[-1], signal.SIGKILL)
    if role in victims:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(AIM.get("stall", 0))


def aim(owner: Any, name: str, role: str, point: str = "", only: str = "") -> None:
    """Make `owner.name` the point called `point`: before or after its n-th call, fire.

    only: count those calls whose last argument names such a file.
    """
    if AIM.get("at") != (point or name):
        return
    wrapped: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counts(arguments: tuple[Any, ...]) -> bool:
        nonlocal calls
        calls += not only or Path(arguments[-1]).name.startswith(only)
        return bool(calls == AIM["call"])

    async def later(*args: Any, **kwargs: Any) -> Any:
        hit = counts(args)
        if hit and AIM["when"] == "before":
            fire(role)
        result = await wrapped(*args, **kwargs)
        if hit and AIM["when"] == "after":
            fire(role)
        return result

    def now(*args: Any, **kwargs: Any) -> Any:
        hit = counts(args)
        if hit and AIM["when"] == "before":
            fire(role)
        result = wrapped(*args, **kwargs)
        if hit and AIM["when"] == "after":
            fire(role)
        return result

    setattr(owner, name, later if inspect.iscoroutinefunction(wrapped) else now)


def patch(owner: Any, name: str, replacement: Any) -> None:
    setattr(owner, name, replacement)


def be_engine() -> None:
    import anyio

    from duologue import cli
    from duologue.agents.models.local._model import LocalModel
    from duologue.engine import Store
    from duologue.jobs import _learning
    from duologue.train import _loop, _remote

    append, open_process = Store.append, anyio.open_process

    async def noted_append(self: Store, phase: str, trajectory: Any, **more: Any) -> None:
        await append(self, phase, trajectory, **more)
        note(
            "durable",
            phase=phase,
            key=[trajectory.key.group, trajectory.key.sample],
            life=self.life,
        )

    async def through_here(command: list[str], **more: Any) -> Any:
        assert command[1:3] == ["-m", "duologue.train"]
        process = await open_process([command[0], __file__, "learner", *command[3:]], **more)
        LEARNER.append(process.pid)
        note("learner", learner=process.pid)
        return process

    patch(Store, "append", noted_append)
    patch(anyio, "open_process", through_here)
    for name in ("append", "settle", "add_version", "add_metrics", "rewind"):
        aim(Store, name, "engine")
    aim(LocalModel, "push", "engine")
    aim(_remote.RemoteLearner, "improve", "engine")
    aim(_remote.RemoteLearner, "checkpoint", "engine")
    aim(_remote.RemoteLearner, "save", "engine")
    aim(_loop, "prune", "engine")
    aim(_learning, "find_start", "engine")
    cli.main()


def be_learner() -> None:
    from duologue.train import _learner, _save

    improve = _learner.Learner._improve

    def noted_improve(self: Any, order: Any) -> Any:
        parent = self._version
        answer = improve(self, order)
        if answer.weights is not None:
            note(
                "learned",
                step=order.step,
                version=answer.version,
                parent=parent,
                samples=[
                    [s.key.group, s.key.sample, blake2b(s.tokens.ids + s.tokens.logps).hexdigest()]
                    for s in order.samples
                ],
            )
        return answer

    write_weights = _learner.Learner._write_weights

    def noted_write(self: Any) -> Path:
        path = write_weights(self)
        note("weights", version=int(path.stem[1:]))
        return path

    patch(_learner.Learner, "_improve", noted_improve)
    patch(_learner.Learner, "_write_weights", noted_write)
    aim(_learner, "policy_step", "learner")
    aim(_learner.Learner, "_write_weights", "learner", "write_weights")
    aim(_learner.Learner, "__init__", "learner", "setup")
    aim(_save, "commit", "learner")
    aim(os, "rename", "learner", only="step-")
    _learner.main(sys.argv[1:])


if __name__ == "__main__":
    if sys.argv[1] == "learner":
        be_learner()
    else:
        be_engine()
