"""From a model's name, as people write it, to who sits in the agent's seat."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from .agents import ChatML, TextAgent
from .agents.models import Model, Sampling, WeightSink
from .agents.models._cassette import Cassette, CassetteModel, open_cassette
from .agents.models._extras import extra
from .config import Config
from .engine import Agent, Board, Seed, ServiceRole, Task, UsageError, checkpoint
from .envs import Gym, MakeAgent, make_dialogues, scripted_agent, token_agent

KINDS = ("scripted:NAME", "local:PATH", "vllm:PATH", "vllm:URL", "openai:NAME")

MOST_AT_ONCE = 1024
"""Requests that a vLLM server of ours is given at once; the others wait their turn. One of somebody
else's gets as many as are live, and fewer when it says that they are too many."""


class Policy(Model, WeightSink, Protocol):
    """A model that can be trained while it is sampled from."""


Sampler = tuple[Policy, ChatML]
"""A policy, and how its dialogues are rendered."""


@asynccontextmanager
async def open_agent(
    spec: str,
    gym: Gym,
    config: Config,
    *,
    temperature: float | None = None,
    tape: Cassette | None = None,
    log: Path | None = None,
    say: Callable[[str], None] | None = None,
    board: Board | None = None,
    through: Callable[[Model], Model] | None = None,
) -> AsyncGenerator[MakeAgent]:
    """The agent that `spec` names, for as long as the block lasts. Raises `UsageError`.

    tape:     records what its model answers, or answers instead. Scripts are no models: they run
              again in a replay.
    log, say, board: as for `open_sampler`.
    through:  wraps the model that the agent asks, script or not, tape and all.
    """
    kind, _, name = spec.partition(":")
    replay = tape is not None and tape.mode == "replay"
    wrap = through or _as_it_is
    if kind == "scripted" and name:
        yield scripted_agent(gym, name, through=wrap)
    elif kind in ("local", "vllm") and name and replay:
        with extra("train"):
            from .agents.models.local._folder import load_tokenizer
        from .agents.models.vllm._model import served_folder

        folder = Path(name) if kind == "local" else await served_folder(name, config.vllm)
        chat = ChatML(load_tokenizer(folder))
        model = wrap(_taped(None, tape, version=0))
        yield policy_agent(model, chat, config, temperature=temperature)
    elif kind in ("local", "vllm") and name:
        async with open_sampler(spec, config, log=log, say=say, board=board) as (policy, chat):
            model = wrap(_taped(policy, tape, version=0))
            yield policy_agent(model, chat, config, temperature=temperature)
    elif kind == "openai" and name and replay:
        yield _text_agent(wrap(_taped(None, tape)), config.model.sampling(temperature))
    elif kind == "openai" and name:
        with extra("openai"):
            from .agents.models.openai._model import open_openai
        async with open_openai(name, settings=config.openai, seed=Seed(config.seed)) as hosted:
            with (board or Board()).showing(*hosted.services(ServiceRole.AGENT)):
                yield _text_agent(wrap(_taped(hosted, tape)), config.model.sampling(temperature))
            if say is not None:
                say(f"openai:{name}: {hosted.usage}")
    else:
        raise UsageError(f"no model is written {spec!r}; write one of: {', '.join(KINDS)}")


def check_agent(spec: str, gym: Gym, config: Config) -> None:
    """Raise `UsageError` for an agent, or an option of the environment, that cannot be: before
    anything is begun, so that no empty run is left behind."""
    make_dialogues(gym, scripted_agent(gym, "expert"), options=config.env.options)
    kind, _, name = spec.partition(":")
    replay = bool(config.model.replay)
    if kind == "scripted" and name:
        scripted_agent(gym, name)
    elif kind == "local" and name:
        with extra("train"):
            from .agents.models.local._folder import load_tokenizer
        load_tokenizer(Path(name))
    elif kind == "vllm" and name:
        if not replay:
            check_vllm(name, config)
    elif kind == "openai" and name:
        if not replay:
            check_openai(config)
    else:
        raise UsageError(f"no model is written {spec!r}; write one of: {', '.join(KINDS)}")


async def reach(spec: str, config: Config) -> None:
    """Find out that the endpoint which `spec` names answers and takes the key, if it names one.

    Before anything is begun, because dialogues are patient: each would wait minutes for a server
    that was never there. Raises `ModelError` or `UsageError`, with what to try.
    """
    kind, _, name = spec.partition(":")
    if config.model.replay:
        await checkpoint()
    elif kind == "openai":
        from .agents.models.openai._model import open_openai

        async with open_openai(name, settings=config.openai) as hosted:
            await hosted.greet()
    elif kind == "vllm":
        from .agents.models.vllm._model import served_folder

        await served_folder(name, config.vllm)
    else:
        await checkpoint()


def sampler_spec(folder: Path, config: Config) -> str:
    """The model in `folder`, sampled the way `model.spec` says; in this process by default."""
    kind, _, name = config.model.spec.partition(":")
    if kind == "vllm" and "://" in name:
        return config.model.spec
    return f"{kind}:{folder}" if kind == "vllm" else f"local:{folder}"


@asynccontextmanager
async def open_sampler(
    spec: str,
    config: Config,
    *,
    version: int = 0,
    log: Path | None = None,
    say: Callable[[str], None] | None = None,
    board: Board | None = None,
) -> AsyncGenerator[Sampler]:
    """A model of ours, `local:` or `vllm:`, and how its dialogues are rendered.

    version: what its weights are called.
    log:     where a server that is started writes. say: told how its start goes.
    board:   shows how the servers are.
    """
    kind, _, name = spec.partition(":")
    with extra("train"):
        from .agents.models.local._device import pick_device
        from .agents.models.local._folder import load_tokenizer
        from .agents.models.local._model import open_local
    settings = config.model
    if kind == "local":
        chat = ChatML(load_tokenizer(Path(name)))
        async with open_local(
            name,
            device=settings.device or None,
            context=settings.context,
            threads=settings.threads,
            lockstep=config.deterministic,
            version=version,
        ) as local:
            yield local, chat
        return
    from .agents.models.vllm._model import is_url, open_vllm, served_folder

    check_vllm(name, config)
    tokenizer = load_tokenizer(await served_folder(name, config.vllm))
    async with open_vllm(
        name,
        tokenizer,
        settings=config.vllm,
        context=settings.context,
        live=config.rollout.live if is_url(name) else min(config.rollout.live, MOST_AT_ONCE),
        device=pick_device(settings.device),
        threads=settings.threads,
        version=version,
        log=log,
        say=say,
    ) as served:
        with (board or Board()).showing(*served.services(ServiceRole.AGENT)):
            yield served, ChatML(tokenizer)


def check_vllm(name: str, config: Config) -> None:
    """Raise `UsageError` for what follows `vllm:` when it cannot be used with these settings."""
    with extra("train"):
        from .agents.models.local._folder import load_tokenizer
    from .agents.models.vllm._model import is_url
    from .agents.models.vllm._server import find_python

    if config.deterministic:
        raise UsageError("deterministic runs need local:PATH; vLLM's replies depend on its load")
    if not is_url(name):
        load_tokenizer(Path(name))
        find_python(config.vllm.python)
    elif config.vllm.tokenizer:
        load_tokenizer(Path(config.vllm.tokenizer))


def check_openai(config: Config) -> None:
    """Raise `UsageError` when `openai:` cannot be used: the package, the address, the settings."""
    if config.deterministic:
        raise UsageError("deterministic runs need local:PATH, or a recording to --replay")
    with extra("openai"):
        from .agents.models.openai._model import find_address
    find_address()


@asynccontextmanager
async def open_tape(
    config: Config, say: Callable[[str], None] | None = None
) -> AsyncGenerator[Cassette | None]:
    """What `model.record` or `model.replay` names, if one does. Raises as `open_cassette` does."""
    settings = config.model
    if not (settings.record or settings.replay):
        await checkpoint()
        yield None
        return
    path = Path(settings.record or settings.replay)
    async with open_cassette(path, "record" if settings.record else "replay", say=say) as cassette:
        yield cassette
        if settings.replay and len(cassette) and say is not None:
            say(f"{path} holds {len(cassette)} answers that nobody asked for")


def refuse_tape(config: Config) -> None:
    """Raise `UsageError` where nothing is recorded or replayed although the settings say so."""
    if config.model.record or config.model.replay:
        raise UsageError("model.record and model.replay are for `rollout` and `eval`")


def _as_it_is(model: Model) -> Model:
    return model


def _taped(model: Model | None, tape: Cassette | None, version: int | None = None) -> Model:
    if tape is not None:
        return CassetteModel(model, tape, version=version)
    assert model is not None
    return model


def _text_agent(model: Model, sampling: Sampling) -> MakeAgent:
    """An agent whose model reads messages."""

    def seat(task: Task, session: str, seed: Seed) -> Agent:
        return TextAgent(model, session=session, seed=seed, sampling=sampling)

    return seat


def policy_agent(
    model: Model, chat: ChatML, config: Config, *, temperature: float | None = None
) -> MakeAgent:
    """An agent that samples from `model` as the settings say."""
    return token_agent(
        model,
        chat,
        sampling=config.model.sampling(temperature),
        context=config.model.context,
    )
