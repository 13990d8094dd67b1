"""From a model's name, as people write it, to who sits in the agent's seat."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .agents import ChatML
from .agents.models._extras import extra
from .config import Config
from .engine import UsageError
from .envs import Gym, MakeAgent, scripted_agent, token_agent

if TYPE_CHECKING:
    from .agents.models._local import LocalModel

KINDS = ("scripted:NAME", "local:PATH")


@asynccontextmanager
async def open_agent(
    spec: str, gym: Gym, config: Config, *, temperature: float | None = None
) -> AsyncGenerator[MakeAgent]:
    """The agent that `spec` names, for as long as the block lasts. Raises `UsageError`."""
    kind, _, name = spec.partition(":")
    if kind == "scripted" and name:
        yield scripted_agent(gym, name)
    elif kind == "local" and name:
        async with open_sampler(Path(name), config) as (model, chat):
            yield policy_agent(model, chat, config, temperature=temperature)
    else:
        raise UsageError(f"no model is written {spec!r}; write one of: {', '.join(KINDS)}")


def check_agent(spec: str, gym: Gym) -> None:
    """Raise what `open_agent` would for a name that cannot be, before anything is begun."""
    kind, _, name = spec.partition(":")
    if kind == "scripted" and name:
        scripted_agent(gym, name)
    elif kind == "local" and name:
        with extra("train"):
            from .agents.models._folder import load_tokenizer
        load_tokenizer(Path(name))
    else:
        raise UsageError(f"no model is written {spec!r}; write one of: {', '.join(KINDS)}")


@asynccontextmanager
async def open_sampler(
    path: Path, config: Config, *, version: int = 0
) -> AsyncGenerator[tuple[LocalModel, ChatML]]:
    """A model folder as a sampler in this process, and how its dialogues are rendered.

    version: what the folder's weights are called.
    """
    with extra("train"):
        from .agents.models._folder import load_tokenizer
        from .agents.models._local import open_local
    chat = ChatML(load_tokenizer(path))
    async with open_local(
        path,
        device=config.model.device or None,
        context=config.model.context,
        threads=config.model.threads,
        lockstep=config.deterministic,
        version=version,
    ) as model:
        yield model, chat


def policy_agent(
    model: LocalModel, chat: ChatML, config: Config, *, temperature: float | None = None
) -> MakeAgent:
    """An agent that samples from `model` as the settings say."""
    return token_agent(
        model,
        chat,
        sampling=config.model.sampling(temperature),
        context=config.model.context,
    )
