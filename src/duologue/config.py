"""One typed tree of settings: TOML in, command-line overrides on top, unknown keys refused.

Each part's settings are defined next to the part; this module only joins them. The resolved tree
is stored with the run, so a run can always say what it was.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from .agents.models import Sampling
from .agents.models.openai._config import OpenAIConfig
from .agents.models.vllm._config import VllmConfig
from .engine import RolloutConfig, UsageError
from .engine.faults import FaultPlan
from .train import ColdStartConfig, EvalConfig, TrainConfig


def _at_least_one(settings: Struct, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} is {getattr(settings, name)}; it must be at least 1")


class EnvConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which environment, and its tasks.

    tasks:     a file in the environment's official layout; empty generates tasks.
    max_turns: 0 takes the environment's own limit.
    options:   the environment's own settings (`duologue env show NAME` lists them).
    """

    name: str = "intention"
    tasks: str = ""
    split: str = "train"
    max_turns: int = 0
    options: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.max_turns < 0:
            raise ValueError(f"max_turns is {self.max_turns}; it must not be negative")


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the agent is, and how it samples.

    spec:    `scripted:NAME`, `local:PATH` for a model folder sampled in this process, `vllm:PATH`
             for one that a vLLM server of ours samples, `vllm:URL` for running servers, or
             `openai:NAME` for a chat model at $OPENAI_BASE_URL.
    device:  empty takes the GPU where there is one.
    threads: CPU threads of the sampler. context: tokens a dialogue may have in all.
    record:  a new file for every answer the models of a rollout or an evaluation give.
    replay:  such a file, which then answers instead of the models.
    """

    spec: str = "scripted:expert"
    device: str = ""
    threads: int = 1
    context: int = 1024
    temperature: float = 1.0
    max_tokens: int = 64
    record: str = ""
    replay: str = ""

    def __post_init__(self) -> None:
        _at_least_one(self, "threads", "context", "max_tokens")
        if self.record and self.replay:
            raise ValueError("record and replay exclude each other; take one away")
        if self.temperature < 0.0:
            raise ValueError(f"temperature is {self.temperature}; it must not be negative")

    def sampling(self, temperature: float | None = None) -> Sampling:
        warmth = self.temperature if temperature is None else temperature
        return Sampling(temperature=warmth, max_tokens=self.max_tokens)


class LearnerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The learner's process. device: empty takes the GPU where there is one."""

    device: str = ""
    threads: int = 1
    bf16: bool = False

    def __post_init__(self) -> None:
        _at_least_one(self, "threads")


class TinyModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shape of a model made by `duologue model init`."""

    vocab: int = 1200
    hidden: int = 96
    layers: int = 2
    heads: int = 3
    kv_heads: int = 1
    head_dim: int = 32
    intermediate: int = 288

    def __post_init__(self) -> None:
        _at_least_one(self, *self.__struct_fields__)
        if self.heads % self.kv_heads or self.head_dim % 2:
            raise ValueError(
                f"heads={self.heads} must be a multiple of kv_heads={self.kv_heads}, and "
                f"head_dim={self.head_dim} even"
            )


class PartyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated user, or the judge.

    spec:     empty for the environment's own rules; `openai:NAME` for a chat model.
    base_url: where that model is; empty takes $OPENAI_BASE_URL.
    key:      the environment variable that holds its key.
    """

    spec: str = ""
    base_url: str = ""
    key: str = "OPENAI_API_KEY"
    temperature: float = 0.0
    max_tokens: int = 512

    def __post_init__(self) -> None:
        _at_least_one(self, "max_tokens")
        if self.temperature < 0.0:
            raise ValueError(f"temperature is {self.temperature}; it must not be negative")

    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens)


class HealthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run watches itself.

    watchdog_s: seconds in which nothing at all progresses (no turn, dialogue or learner step)
                after which the run ends with a report of what everybody waits for. Longer than
                the longest optimiser step; 0 waits for ever. Dialogues under a longer
                `rollout.deadline_s`, and a server of ours that has `vllm.ready_s` to come up
                again, are waited for.
    blame:      find out which code holds the event loop when it is late.
    """

    watchdog_s: float = 300.0
    blame: bool = True

    def __post_init__(self) -> None:
        if not self.watchdog_s >= 0:
            raise ValueError(f"watchdog_s is {self.watchdog_s}; it must not be negative")


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a run.

    seed:          the root of all randomness of ours.
    deterministic: equal runs give equal records and weights: dialogues run in lockstep waves and
                   nothing overlaps (staleness 0).
    """

    seed: int = 0
    deterministic: bool = False
    env: EnvConfig = EnvConfig()
    model: ModelConfig = ModelConfig()
    user: PartyConfig = PartyConfig()
    judge: PartyConfig = PartyConfig()
    vllm: VllmConfig = VllmConfig()
    openai: OpenAIConfig = OpenAIConfig()
    tiny: TinyModelConfig = TinyModelConfig()
    rollout: RolloutConfig = RolloutConfig()
    coldstart: ColdStartConfig = ColdStartConfig()
    train: TrainConfig = TrainConfig()
    learner: LearnerConfig = LearnerConfig()
    eval: EvalConfig = EvalConfig()
    faults: FaultPlan = FaultPlan()
    health: HealthConfig = HealthConfig()


def load_config(
    path: Path | None,
    named: Mapping[str, Any] | None = None,
    overrides: Iterable[str] = (),
    *,
    source: str = "the command line",
) -> Config:
    """Settings from a TOML file; on top of it `named` values by key path, then `key.path=value`
    texts; the defaults below.

    Raises `UsageError` naming the file (without one, `source`), the key or the value that is wrong.
    """
    tree = {} if path is None else read_toml(path)
    for key, value in (named or {}).items():
        _put(tree, key, str(value) if isinstance(value, Path) else value)
    return resolve(override_tree(tree, overrides), str(path or source))


def override_tree(tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """`tree`, changed in place by `key.path=value` texts."""
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise UsageError(f"--set {text!r} is not of the form key.path=value")
        _put(tree, key.strip(), _value(value.strip()))
    return tree


def resolve(tree: Mapping[str, Any], source: str) -> Config:
    """A plain tree as a `Config`; `source` is named when it does not fit."""
    try:
        return msgspec.convert(tree, Config)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{source}: {_explain(str(error))}") from error


def merge(tree: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with the values of `over` laid on top, table by table."""
    merged = dict(tree)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def to_toml(config: Config) -> str:
    """The resolved tree as TOML, which `load_config` reads back to the same `Config`."""
    return msgspec.toml.encode(_without_none(msgspec.to_builtins(config))).decode()


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a plain tree. Raises `UsageError`."""
    try:
        return parse_toml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """TOML as a plain tree. Raises `UsageError` that names `source`, the line and the column."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only `TOMLDecodeError`: a number of 5,000 digits, or a thousand brackets.
        raise UsageError(f"{source} is not valid TOML: {error}") from error


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *tables, leaf = key.split(".")
    for name in tables:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            raise UsageError(f"cannot set {key!r}: {name!r} is a value, not a table")
        tree = cast("dict[str, Any]", below)
    tree[leaf] = value


def _value(text: str) -> Any:
    """A TOML value, or the text itself: nobody wants to quote a path twice on a command line."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _explain(message: str) -> str:
    """msgspec's words, with the near miss where a key is unknown."""
    words, _, place = message.partition(" - at `$")
    where = place.rstrip("`").lstrip(".")
    if words.startswith("Object contains unknown field"):
        name = words.split("`")[1]
        known = _keys_at(where)
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        key = f"{where}.{name}" if where else name
        return f"unknown key {key!r}; {hint}"
    return f"{where}: {words}" if where else words


def _keys_at(where: str) -> list[str]:
    node: Any = Config
    for part in where.split(".") if where else []:
        name, listed, _ = part.partition("[")
        kind = next((field.type for field in fields(node) if field.name == name), node)
        node = get_args(kind)[0] if listed else kind
    return list(node.__struct_fields__) if hasattr(node, "__struct_fields__") else []


def _without_none(tree: Any) -> Any:
    # TOML has no null: a key that is absent says the same.
    if isinstance(tree, dict):
        items = cast("dict[str, Any]", tree).items()
        return {key: _without_none(value) for key, value in items if value is not None}
    if isinstance(tree, (list, tuple)):
        return [_without_none(value) for value in cast("Iterable[Any]", tree)]
    return tree
