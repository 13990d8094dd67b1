"""The official API over any gym: strings in, five-tuples out.

An input is one string, "[choice] content". An observation is a dict whose `feedback` is what the
user or the environment said. `step` and `step_async` do the same; the first is for environments
that never wait (rule-based and scripted users), the second for all.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from ..agents import CHOICES
from ..engine import Action, Message, Seed, Task, UsageError
from ._env import Env, Gym, Step, Voice

T = TypeVar("T")

Observation = dict[str, Any]
Info = dict[str, Any]

# ---- the tool, as released


def tool_input(choice: str, content: object) -> str:
    """The environment's input for one call of the released tool.

    A known choice is put before the content, unless the content starts with it already; an unknown
    one is forgotten, so that its content speaks for itself. What is no string becomes Python's
    `str` of it.
    """
    text = content if isinstance(content, str) else str(content)
    if choice == "finish":
        return "[finish]"
    prefix = f"[{choice}]"
    if choice not in ("action", "answer", "search") or text.startswith(prefix):
        return text
    return f"{prefix} {text}"


def tool_response(feedback: str, reward: float) -> str:
    """What the released tool shows the agent in training."""
    return f"{feedback}\nReward: {reward}"


def decode_arguments(text: str) -> tuple[dict[str, Any], bool]:
    """A call's arguments as the released code reads them, and whether they were unreadable.

    Whatever is no JSON object counts as no arguments. Never raises.
    """
    try:
        arguments: dict[str, Any] | list[Any] | str | float | None = json.loads(text)
    except (ValueError, RecursionError):
        return {}, True
    return (arguments, False) if isinstance(arguments, dict) else ({}, True)


def read_input(text: str, *, bare: str = "") -> Action:
    """The action that an input string means; one without a known prefix is of the choice `bare`."""
    text = text.strip()
    if text.startswith("["):
        choice, bracket, content = text[1:].partition("]")
        if bracket and choice.lower() in CHOICES:
            return Action(choice.lower(), content.strip())
    return Action(bare, text)


# ---- the environments


@runtime_checkable
class Watched(Protocol):
    """An environment that has more to show through the official API than its feedback."""

    def state(self) -> dict[str, Any]:
        """Keys of the observation."""
        ...

    def reveal(self) -> dict[str, Any]:
        """Keys of `info`; in `fixed` behaviour nothing hidden is among them."""
        ...


@dataclass(kw_only=True)
class OfficialConfig:
    """How an environment of the official API is set up; the names are the official ones.

    data_source: the id, or ids, of the tasks to choose from; None is all of them. The seed chooses.
    data_mode:   the official name for that choice: `random`, `single` or `list`. Only checked.
    data_path:   an official file to take tasks from; without one they are generated.
    behaviour:   `fixed` or `official`, where the gym knows both.
    """

    max_steps: int = 20
    seed: int | None = 42
    step_penalty: float = 0.0
    normalize_rewards: bool = False
    data_mode: str = "random"
    data_source: str | Sequence[str] | None = None
    data_path: str | Path | None = None
    behaviour: str = "fixed"

    def validate(self) -> None:
        """Raise `UsageError` for a setting that cannot be."""
        if self.max_steps < 1:
            raise UsageError(f"max_steps is {self.max_steps}; it must be at least 1")
        if self.behaviour not in ("fixed", "official"):
            raise UsageError(f"behaviour is {self.behaviour!r}; it is 'fixed' or 'official'")
        if self.data_mode not in ("random", "single", "list"):
            raise UsageError(f"data_mode is {self.data_mode!r}; it is random, single or list")
        if self.data_source is not None and self.data_path is None:
            raise UsageError("data_source names tasks of a file; set data_path to that file")


class OfficialEnv:
    """Any gym through the official API; `FunctionEnv` and `IntentionEnv` are its faces.

    Raises `ValueError` on a step before the first reset or after the end. A user or judge that
    fails raises `UserError` or `JudgeError` and ends the episode: its step may have run.
    """

    bare = ""
    """The choice of an input that has no prefix."""

    def __init__(
        self,
        gym: Gym,
        config: OfficialConfig | None = None,
        *,
        user: Voice | None = None,
        judge: Voice | None = None,
    ) -> None:
        self.gym = gym
        self.config: OfficialConfig = config or OfficialConfig()
        self.config.validate()
        self.voices: dict[str, Voice] = {
            k: v for k, v in {"user": user, "judge": judge}.items() if v is not None
        }
        self._tasks = self._load()
        self._env: Env | None = None
        self._root = Seed(self.config.seed or 0)
        self._episode = 0
        self._task: Task | None = None
        self._over = True
        self.step_count: int = 0
        self.total_reward: float = 0.0
        self._history: list[str] = []

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin an episode; the same seed begins the same one, and the ones after it.

        options: `task`, a `Task` or an id of the file, overrides which task it is about.
        """
        if seed is not None:
            self._root, self._episode = Seed(seed), 0
        here = self._root / "episode" / self._episode
        self._episode += 1
        task = self._pick(here, (options or {}).get("task"))
        self._env = self.build(task, here / "env")
        self._task = task
        self._over = False
        self.step_count, self.total_reward, self._history = 0, 0.0, []
        prompt = self._env.prompt()
        feedback = "\n".join(m.content for m in prompt if m.role != "system")
        info = self._info() | {"prompt": [_plain(message) for message in prompt]}
        return self._observation(feedback), info

    def step(self, action: str) -> tuple[Observation, float, bool, bool, Info]:
        """One input and what came of it: observation, reward, terminated, truncated, info.

        Raises `UsageError` when the environment has to wait for a model: use `step_async`, or the
        Gymnasium adapter, which owns a loop.
        """
        return _without_waiting(self.step_async(action))

    async def step_async(self, action: str) -> tuple[Observation, float, bool, bool, Info]:
        """Like `step`, on the running loop. Cancelled, it ends the episode."""
        if self._env is None or self._over:
            raise ValueError("Episode is complete. Call reset() to start a new episode.")
        text = str(action)
        self.step_count += 1
        self._history.append(text)
        # Until the step is known to have run whole, there is nothing to go on from.
        self._over = True
        step = await self._env.step(self._action(text))
        reward = self.priced(text, step.reward)
        self.total_reward += reward
        terminated, truncated = self.ends(text, step)
        self._over = terminated or truncated
        return self._observation(step.feedback), reward, terminated, truncated, self._info()

    def close(self) -> None:
        """Let go of the episode. May be called again."""
        self._env, self._over = None, True

    def render(self) -> None:
        """There is nothing to draw."""

    def seed(self, seed: int | None = None) -> list[int]:
        """Seed the episodes from the next reset on."""
        chosen = (self.config.seed or 0) if seed is None else seed
        self._root, self._episode = Seed(chosen), 0
        return [chosen]

    # What a gym's own face overrides.

    def build(self, task: Task, seed: Seed) -> Env:
        """The environment of one episode."""
        options = dict(self.gym.options)
        if "behaviour" in options:
            options["behaviour"] = self.config.behaviour
        env: Env = self.gym.make(task, seed, **options, **self.voices)
        return env

    def priced(self, text: str, reward: float) -> float:
        """A step's reward after the penalty and the clip that the settings ask for."""
        reward -= self.config.step_penalty
        return max(0.0, min(1.0, reward)) if self.config.normalize_rewards else reward

    def ends(self, text: str, step: Step) -> tuple[bool, bool]:
        """(terminated, truncated) after a step."""
        done = step.done or step.user_ended
        return done, not done and self.step_count >= self.config.max_steps

    # Inside.

    def _action(self, text: str) -> Action:
        # The released code reads the raw string itself, and an unknown choice leaves it as it is.
        if self.config.behaviour == "official":
            return Action("", text)
        return read_input(text, bare=self.bare)

    def _observation(self, feedback: str) -> Observation:
        state: Observation = self._env.state() if isinstance(self._env, Watched) else {}
        return {
            "feedback": feedback,
            "step_count": self.step_count,
            "episode_complete": self._over,
            **state,
        }

    def _info(self) -> Info:
        revealed: Info = self._env.reveal() if isinstance(self._env, Watched) else {}
        return {
            "task_id": self._task.id if self._task else "",
            "action_history": list(self._history),
            "total_reward": self.total_reward,
            **revealed,
        }

    def _load(self) -> dict[str, Task] | None:
        if self.config.data_path is None:
            return None
        if self.gym.read is None:
            raise UsageError(f"environment {self.gym.name!r} reads no task files")
        tasks = {task.id: task for task in self.gym.read(Path(self.config.data_path))}
        wanted = self.config.data_source
        if wanted is None:
            return tasks
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if name not in tasks:
                raise UsageError(f"data_source: {name!r} is not in {self.config.data_path}")
        return {name: tasks[name] for name in names}

    def _pick(self, seed: Seed, chosen: object) -> Task:
        if isinstance(chosen, Task):
            return chosen
        if chosen is not None:
            if self._tasks is None or chosen not in self._tasks:
                raise UsageError(f"no task has the id {chosen!r}; set data_path to its file")
            return self._tasks[str(chosen)]
        if self._tasks is None:
            return next(self.gym.tasks("train", seed / "task"))
        if not self._tasks:
            raise UsageError(f"{self.config.data_path} holds no tasks")
        names = list(self._tasks)
        return self._tasks[names[(seed / "task").integer() % len(names)]]


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _without_waiting(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, with no loop at all."""
    try:
        work.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    work.close()
    raise UsageError(
        "this environment waits for a model, so `step` cannot run it; "
        "use `step_async`, or the Gymnasium adapter, which owns a loop"
    )
