"""`duologue replay`: one dialogue of a run again, and whether it comes out the same.

Seeds are derived by path, so a dialogue needs nobody else's: the one attempt that was kept is run
alone, from the run's stored settings and task. A script's answers follow from its seed, a model's
from a recording. A `local:` model in deterministic mode answers by itself, but the last bits depend
on the batch, so there the whole lockstep wave runs again.

What a server sampled, and what the clock decided, is not ours to repeat: that is refused.
"""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct, structs

from ..config import Config, parse_toml, resolve
from ..engine import (
    Carried,
    Dialogue,
    End,
    Key,
    MakeDialogue,
    Message,
    Reader,
    RolloutConfig,
    Seed,
    Stored,
    Task,
    Trajectory,
    Turn,
    UsageError,
    open_reader,
    open_rollouts,
)
from ..envs import Gym, find, make_dialogues
from ..progress import Reporter
from ..rundir import DATABASE
from ..seats import open_agent, open_tape
from ..voices import open_voices, parties
from ._difference import Difference, first_difference
from ._tasks import lockstep

_NAME = re.compile(r"(?:(?P<phase>.+):)?(?P<group>\d+)/(?P<sample>\d+)(?:@(?P<life>\d+))?")
_BY_THE_CLOCK = (End.TIMEOUT, End.CANCELLED)


class Replayed(Struct, frozen=True, kw_only=True):
    """A dialogue that was run again.

    how:        `script`, `recording` or `wave`: where the agent's answers came from.
    ran:        dialogues that were run for it.
    equal:      whether the record is the same byte for byte. difference: the first, where not.
    end, reward, opening, turns: of the dialogue as it came out now.
    """

    run: str
    dialogue: str
    how: str
    ran: int
    equal: bool
    difference: Difference | None
    end: End
    reward: float
    opening: tuple[Message, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, kw_only=True)
class _Cast:
    """Who spoke in a phase, from which seed, and how its dialogues were run."""

    spec: str
    seed: Seed
    rollout: RolloutConfig
    temperature: float | None = None
    session: str = "rollout"


async def replay(run: Path, dialogue: str, *, tape: Path | None, reporter: Reporter) -> Replayed:
    """Run one dialogue of `run` again and compare it with its record.

    dialogue: `group/sample`, `phase:group/sample`, or either with `@life` behind it.
    tape:     a recording of the models' answers; by default the one the run made or was made from.

    Raises `UsageError` for a dialogue that is not there, or cannot be run again: it says why, and
    what to do about it.
    """
    if not (run / DATABASE).exists():
        raise UsageError(f"{run} holds no run; `duologue runs {run.parent}` lists what there is")
    with open_reader(run / DATABASE) as reader:
        _, text, facts = reader.run()
        stored = _find(reader, run, dialogue)
        phase, key = stored.phase, stored.trajectory.key
        config = resolve(parse_toml(text, f"the settings in {run / DATABASE}"), str(run))
        gym = find(config.env.name)
        cast = _cast(config, gym, phase, facts.get("command", ""))
        config, how = _choose(config, cast, stored, tape)
        if how == "wave":
            first = key.group - key.group % cast.rollout.wave
            begun = _wave(reader, phase, first, cast.rollout.wave)
        else:
            task = _task(reader, phase, key.group)
            begun = [Carried(ordinal=key.group, task=task, trajectories=_others(stored))]
    async with AsyncExitStack() as stack:
        cassette = await stack.enter_async_context(open_tape(config))
        voices = await stack.enter_async_context(
            open_voices(gym, config, tape=cassette, say=reporter.say)
        )
        agent = await stack.enter_async_context(
            open_agent(cast.spec, gym, config, temperature=cast.temperature, tape=cassette)
        )
        make = make_dialogues(
            gym,
            agent,
            phase=cast.session,
            max_turns=config.env.max_turns or None,
            options=config.env.options,
            voices=voices,
        )
        settings = cast.rollout
        if how != "wave":
            make = _attempt(make, cast.seed, len(stored.trajectory.discarded))
            settings = structs.replace(
                settings, samples=key.sample + 1, live=key.sample + 1, attempts=1, wave=0
            )
        again, ran = await _run(begun, make, cast.seed, settings, key)
    if how != "wave":
        again = structs.replace(again, discarded=stored.trajectory.discarded)
    difference = first_difference(stored.trajectory, again)
    return Replayed(
        run=str(run),
        dialogue=f"{phase}:{key.group}/{key.sample}@{stored.life}",
        how=how,
        ran=ran,
        equal=difference is None,
        difference=difference,
        end=again.end,
        reward=again.reward,
        opening=again.opening,
        turns=again.turns,
    )


def _find(reader: Reader, run: Path, dialogue: str) -> Stored:
    name = _NAME.fullmatch(dialogue)
    if name is None:
        raise UsageError(
            f"{dialogue!r} names no dialogue; write GROUP/SAMPLE, or PHASE:GROUP/SAMPLE"
        )
    key = Key(int(name["group"]), int(name["sample"]))
    life = None if name["life"] is None else int(name["life"])
    phases = reader.phases()
    if name["phase"] is not None and name["phase"] not in phases:
        raise UsageError(
            f"{run} has no phase {name['phase']!r}; it has: {', '.join(phases) or 'none'}"
        )
    asked = phases if name["phase"] is None else [name["phase"]]
    found = [one for phase in asked if (one := reader.stored(phase, key, life)) is not None]
    if not found:
        raise UsageError(
            f"{run} holds no record of dialogue {dialogue!r}; `duologue report {run}` shows which "
            "there are, and `duologue prune` may have dropped it"
        )
    if len(found) > 1:
        names = ", ".join(f"{one.phase}:{dialogue}" for one in found)
        raise UsageError(f"{dialogue!r} is more than one dialogue of {run}; write one of: {names}")
    return found[0]


def _cast(config: Config, gym: Gym, phase: str, command: str) -> _Cast:
    """As the command that began the run seated them."""
    root = Seed(config.seed)
    if command not in ("rollout", "eval", "sft", "train", "demo"):
        raise UsageError(
            f"the run was made by {command or 'a program of your own'!r}, which knows who spoke; "
            "`duologue replay` knows the runs of its own commands"
        )
    if phase == "rollout":
        return _Cast(spec=config.model.spec, seed=root, rollout=lockstep(config.rollout, config))
    if phase == "coldstart":
        rollout = structs.replace(config.rollout, samples=1, wave=0)
        return _Cast(spec=f"scripted:{config.coldstart.script}", seed=root / phase, rollout=rollout)
    room, _, name = phase.partition("/")
    if room == "eval" and (":" in name or name in gym.scripts):
        rollout = structs.replace(config.rollout, samples=config.eval.samples, wave=0)
        return _Cast(
            spec=name if ":" in name else f"scripted:{name}",
            seed=root / "eval",
            rollout=lockstep(rollout, config),
            temperature=config.eval.temperature,
            session=phase,
        )
    raise UsageError(
        f"phase {phase!r} was spoken by weights that training has changed since; to look into its "
        "dialogues, run `duologue rollout --deterministic` with a model folder that is kept"
    )


def _choose(config: Config, cast: _Cast, stored: Stored, tape: Path | None) -> tuple[Config, str]:
    """Where the answers come from, and settings that say so."""
    trajectory = stored.trajectory
    if trajectory.end in _BY_THE_CLOCK:
        raise UsageError(
            f"the dialogue's end is {trajectory.end.value!r}: the clock or a person decided it, "
            "which no seed repeats"
        )
    if config.faults.faults:
        raise UsageError(
            "things went wrong on plan in this run (faults), and a replay makes none of them; "
            "run the plan again with the same seed"
        )
    kind = cast.spec.partition(":")[0]
    models = [f"the agent is {cast.spec}"] if kind != "scripted" else []
    models += [f"the {name} is {party.spec}" for name, party in parties(config).items()]
    kept = tape or _kept_tape(config)
    own = structs.replace(config.model, record="", replay="")
    if not models:
        return structs.replace(config, model=own), "script"
    if kept is not None:
        taped = structs.replace(own, replay=str(kept))
        return structs.replace(config, model=taped), "recording"
    if kind == "local" and config.deterministic and len(models) == 1:
        return structs.replace(config, model=own), "wave"
    if kind == "local" and len(models) == 1:
        raise UsageError(
            f"{models[0]}, whose batches formed by chance, and the last bits depend on them; "
            "run it with --deterministic, or with --record FILE"
        )
    raise UsageError(
        f"{models[-1]}, and what a server sampled is not ours to repeat; run it with "
        "--record FILE, and replay it with --replay FILE"
    )


def _kept_tape(config: Config) -> Path | None:
    """The recording that the run made, or was made from."""
    named = config.model.record or config.model.replay
    if not named:
        return None
    if not Path(named).exists():
        raise UsageError(f"the run's recording {named} is not there; say where with --replay FILE")
    return Path(named)


def _task(reader: Reader, phase: str, ordinal: int) -> Task:
    task = reader.task(phase, ordinal)
    if task is None:
        raise UsageError(f"{reader.path} holds no task of group {ordinal} of phase {phase!r}")
    return task


def _wave(reader: Reader, phase: str, first: int, size: int) -> list[Carried]:
    """The groups that began together, none of them with a sample yet."""
    tasks = ((n, reader.task(phase, n)) for n in range(first, first + size))
    return [Carried(ordinal=n, task=task) for n, task in tasks if task is not None]


def _others(stored: Stored) -> tuple[Trajectory, ...]:
    """What stands in for the samples before this one, so that none of them is run."""
    key = stored.trajectory.key
    return tuple(
        structs.replace(stored.trajectory, key=Key(key.group, sample))
        for sample in range(key.sample)
    )


def _attempt(make: MakeDialogue, seed: Seed, number: int) -> MakeDialogue:
    """The dialogue as it was made for that attempt, whichever it is now."""

    def again(task: Task, key: Key, _: Seed) -> Dialogue:
        place = seed.at("group", key.group, "task", task.id, "sample", key.sample)
        return make(task, key, place.at("attempt", number))

    return again


async def _run(
    begun: list[Carried], make: MakeDialogue, seed: Seed, settings: RolloutConfig, key: Key
) -> tuple[Trajectory, int]:
    async with open_rollouts([], make, seed=seed, config=settings, carried=begun) as rollouts:
        found = [one async for group in rollouts for one in group.trajectories if one.key == key]
        return found[0], rollouts.stats.ended
