"""The travel gym: look up options, find out what the traveller wants, book what suits it best.

UserRL's TravelGym (2509.19736) with its repairs: one option an answer, one booking an aspect, the
trip over when each is booked, and asking that never pays like booking does. `official` behaviour is
the released code's, bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...engine import Message, Seed, Task, UsageError
from .._env import Env, Gym, Voice
from .._persona import persona as persona_of
from ._generate import generate
from ._metric import metric
from ._official import OfficialTravel
from ._pay import pay_of
from ._rules import Travel
from ._scripts import SCRIPTS
from ._tasks import SHAPES, Trip, read, trip

_INSTRUCTIONS = """\
You are a travel agent that plans a trip together with a traveller.

# Environment
The traveller says which parts the trip has: flight, hotel, apartment, rental car, restaurant. A \
database holds options for each. Several may suit the traveller; the best is the cheapest of those. \
What the traveller likes you find out by asking. The answers are hints: understand what is meant.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `search`: ask the database for one part of the trip. Name the part, the places and all the dates.
- `action`: say what is in `content` to the traveller. Ask about one thing of one part at a time.
- `answer`: book an option for the traveller. `content` is one id, like `H12`.
- `finish`: end the conversation. `content` is ignored.

# Notes
- Each part of the trip is booked once, and not before it was looked up.
- Options of another day or place may be on the list. They do not suit.
- The number of turns is limited. The trip is over when every part is booked.\
"""


def opening(planned: Trip, *, instructions: bool) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's."""
    messages = planned.prompt or (
        Message("system", _INSTRUCTIONS),
        Message("user", planned.opening),
    )
    return [message for message in messages if instructions or message.role != "system"]


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    instructions: bool = True,
    persona: str = "plain",
    pay: str = "default",
    interval: int = 3,
    outages: int = 5,
    results: int = 0,
    user: Voice | None = None,
    judge: Voice | None = None,
) -> Env:
    """The environment of one dialogue; `seed` settles wording, order of options and free choices.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    instructions: False leaves the system message out, for models that learnt the tool before.
    persona:      who the traveller is: a name of `PERSONAS`, or `any`. `official` has none.
    pay:          `shared`, `paper`, `training` or `evaluation`: see `PAYS`; `default` is `shared`
                  in `fixed` and `training` in `official`.
    interval:     lines in a row that ask for no open preference until the traveller offers one; 0
                  is never.
    outages:      one search in so many fails; 0 is none.
    results:      how many options a search finds at most, the best one among them; 0 is all there
                  are. `official` always finds all.
    user, judge:  who answers and who grades; rule-based when None.

    Raises `UsageError` when the task is not of this gym or an option has no such value.
    """
    for name, value in (("interval", interval), ("outages", outages), ("results", results)):
        if value < 0:
            raise UsageError(f"{name} is {value}; it must not be negative")
    planned = trip(task)
    prompt = opening(planned, instructions=instructions)
    match behaviour:
        case "fixed":
            return Travel(
                planned,
                seed / "user",
                pay=pay_of(pay, behaviour),
                who=persona_of(persona, seed),
                interval=interval,
                outages=outages,
                results=results,
                prompt=prompt,
                user=user,
                judge=judge,
            )
        case "official":
            return OfficialTravel(
                planned,
                seed / "user",
                pay=pay_of(pay, behaviour),
                rng=(seed / "free").random(),
                interval=interval,
                outages=outages,
                prompt=prompt,
                user=user,
                judge=judge,
            )
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


def hidden(task: Task) -> Iterable[str]:
    """The preferences in plain words. Not the hints: the traveller gives them when asked. Nor the
    best ids: they are on the lists."""
    return {each.text for each in trip(task).preferences}


def gym_of(*shapes: str) -> Gym:
    """The gym with generated trips of some shapes only, `gym_of("22", "33")` say."""

    def tasks(split: str, seed: Seed) -> Iterator[Task]:
        return generate(split, seed, shapes=shapes)

    return Gym(
        name="travel",
        tasks=tasks,
        read=read,
        make=make,
        scripts=SCRIPTS,
        max_turns=16,
        options={
            "behaviour": "fixed",
            "instructions": True,
            "persona": "plain",
            "pay": "default",
            "interval": 3,
            "outages": 5,
            "results": 0,
        },
        voices=("user", "judge"),
        hidden=hidden,
        metric=metric,
        summary="Find out what a traveller wants, from hints, and book what suits it best.",
    )


gym: Gym = gym_of(*SHAPES)

# One a shape, for `--env duologue.envs.travel:travel22` and the like.
travel22: Gym = gym_of("22")
travel33: Gym = gym_of("33")
travel44: Gym = gym_of("44")
travel233: Gym = gym_of("233")
travel333: Gym = gym_of("333")
travel334: Gym = gym_of("334")
travel444: Gym = gym_of("444")
travel2222: Gym = gym_of("2222")
