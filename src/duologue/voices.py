"""From what `user.spec` and `judge.spec` say to who sits in those seats."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from .agents.models import Model
from .agents.models._cassette import Cassette, CassetteModel
from .agents.models._extras import extra
from .config import Config, PartyConfig
from .engine import Board, Seed, ServiceRole, Task, UsageError
from .envs import Gym, MakeVoices, ModelVoice, Voice
from .envs._voices import PARTIES


def parties(config: Config) -> Mapping[str, PartyConfig]:
    """The parties that are models, by name."""
    both = {"user": config.user, "judge": config.judge}
    return {name: party for name, party in both.items() if party.spec}


def check_voices(gym: Gym, config: Config) -> None:
    """Raise `UsageError` for a user or a judge that cannot be, before anything is begun."""
    for name, party in parties(config).items():
        if name not in gym.voices:
            has = " and ".join(gym.voices) or "neither user nor judge"
            raise UsageError(
                f"{name}.spec is {party.spec!r}, but in environment {gym.name!r} {has} can be a "
                "model; leave it empty"
            )
        kind, _, model = party.spec.partition(":")
        if kind != "openai" or not model:
            raise UsageError(
                f"{name}.spec is {party.spec!r}; write openai:NAME (a vLLM server has chat routes "
                f"too: set {name}.base_url), or leave it empty for the environment's own rules"
            )
        if config.deterministic and not config.model.replay:
            raise UsageError(f"deterministic runs need a rule-based {name}, or --replay")
        if not config.model.replay:
            with extra("openai"):
                from .agents.models.openai._model import find_address
            find_address(party.base_url, party.key)


@asynccontextmanager
async def open_voices(
    gym: Gym,
    config: Config,
    *,
    tape: Cassette | None = None,
    say: Callable[[str], None] | None = None,
    board: Board | None = None,
) -> AsyncGenerator[MakeVoices | None]:
    """The users and judges of dialogues that start inside the block; None when all are rule-based.

    tape: records what they say, or says it instead.
    say:  told what each of them cost. board: shows how their endpoints are.

    Raises `UsageError`, and `ModelError` for an endpoint that does not answer or refuses the key.
    """
    check_voices(gym, config)
    found = parties(config)
    async with AsyncExitStack() as stack:
        models: dict[str, Model] = {}
        for name, party in found.items():
            models[name] = await _open(stack, name, party, config, tape, say, board or Board())

        def make(task: Task, session: str, seed: Seed) -> Mapping[str, Voice]:
            return {
                name: ModelVoice(
                    model,
                    session=f"{session}/{name}",
                    seed=seed / name,
                    error=PARTIES[name],
                    sampling=found[name].sampling(),
                )
                for name, model in models.items()
            }

        yield make if models else None


async def _open(
    stack: AsyncExitStack,
    name: str,
    party: PartyConfig,
    config: Config,
    tape: Cassette | None,
    say: Callable[[str], None] | None,
    board: Board,
) -> Model:
    if tape is not None and tape.mode == "replay":
        return CassetteModel(None, tape)
    from .agents.models.openai._model import find_address, open_openai

    model = party.spec.partition(":")[2]
    hosted = await stack.enter_async_context(
        open_openai(
            model,
            settings=config.openai,
            tools=False,
            seed=Seed(config.seed) / name,
            address=find_address(party.base_url, party.key),
        )
    )
    await hosted.greet()
    stack.enter_context(board.showing(*hosted.services(ServiceRole(name))))
    if say is not None:
        stack.callback(lambda: say(f"{name} {party.spec}: {hosted.usage}"))
    return hosted if tape is None else CassetteModel(hosted, tape)
