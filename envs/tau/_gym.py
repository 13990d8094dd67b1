"""The tau gym: talk to a customer, use a shop's or an airline's tools, and leave its database right.

UserRL's TauGym (2509.19736) over tau-bench (2406.12045), with its repairs: the agent is shown the
policy that it is judged by, the customer begins with the line that the agent was shown, a task whose
right end is "nothing happened" pays nobody who did not look, `finish` is judged like the customer's
goodbye, numbers are compared as numbers, and a customer that fails ends the dialogue instead of
paying 0. `official` behaviour is the released code's, bug for bug (see `_official`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...engine import Action, Message, Seed, Task, UsageError
from .._env import Env, Gym, Step, Voice
from .._persona import Persona, persona
from ._calls import Move, read_call
from ._generate import generate
from ._official import OfficialTau
from ._pay import asks_nothing, told, wanted, wants_transfer
from ._scripts import SCRIPTS
from ._store import Store
from ._tasks import Case, case, domain_of, read
from ._tools import TRANSFERS, Domain, listing
from ._user import Reply, customer
from ._voices import ask_customer

_INSTRUCTIONS = """\
You work in the customer service of a company. You talk to a customer and use the company's internal \
tools to do what the customer wants, as far as the company's policy allows.

# Action space
Call the tool `interact_with_env` with two strings, `choice` and `content`. `choice` is one of:
- `search`: `content` is `tools` for a list of the internal tools, `policy` for the policy, `help` \
for this.
- `action`: say what is in `content` to the customer.
- `answer`: call an internal tool. `content` is JSON: {"name": "...", "arguments": {...}}.
- `finish`: end the conversation. `content` is ignored.

# Notes
- The database is compared with what it should be when the conversation ends: when the customer has \
nothing left to ask for, when you hand over to a colleague, or when you finish. There is one reward.
- The customer sees nothing of what tools answer: say what it wants to know.
- The number of turns is limited.\
"""

_ADVICE = (
    "Choose `search` with tools, policy or help; `action` to speak; `answer` with a call like "
    '{"name": "tool", "arguments": {}}.'
)
_NOTHING = {"task": 0.0}
_DONE = "The conversation is over."


class Tau:
    """One dialogue with a customer over a database of its own."""

    def __init__(
        self,
        found: Case,
        domain: Domain,
        seed: Seed,
        who: Persona,
        *,
        prompt: Sequence[Message],
        user: Voice | None = None,
    ) -> None:
        self._case = found
        self._domain = domain
        self._persona = who
        self._prompt = prompt
        self._ruled = customer(found, seed, who)
        self._user = user
        self._store = Store(domain.tables)
        self._said: list[str] = []
        self._past: list[tuple[str, str]] = []
        self._handed_over = False

    def prompt(self) -> Sequence[Message]:
        return self._prompt

    async def step(self, action: Action) -> Step:
        match action.choice:
            case "finish":
                return self._end(_DONE)
            case "search":
                return Step(feedback=self._search(action.content), parts=_NOTHING)
            case "action":
                return await self._talk(action.content)
            case "answer":
                move = read_call(action.content)
                return Step(feedback=_ADVICE, parts=_NOTHING) if move is None else self._use(move)
            case _:
                return Step(feedback=_ADVICE, parts=_NOTHING)

    def _search(self, content: str) -> str:
        match content.strip().lower():
            case "tools":
                return listing(self._domain.tools, types=True)
            case "policy":
                return self._domain.policy
            case _:
                return _ADVICE

    async def _talk(self, text: str) -> Step:
        self._said.append(text)
        if self._user is None:
            reply = self._ruled.hear(text)
        else:
            said = await ask_customer(self._user, self._case, self._persona, self._past, text)
            self._past.append((text, said.line))
            reply = Reply(text=said.line, over=said.over)
        if reply.over:
            return self._end(reply.text)
        return Step(feedback=reply.text, parts=_NOTHING, user_ended=reply.left)

    def _use(self, move: Move) -> Step:
        answer = self._domain.use(self._store, move.name, move.kwargs)
        if move.name in self._domain.tools and move.name in TRANSFERS:
            self._handed_over = not answer.startswith("Error")
            if self._handed_over:
                return self._end(answer)
        return Step(feedback=answer, parts=_NOTHING)

    def _end(self, said: str) -> Step:
        reward = 1.0 if self._right() else 0.0
        return Step(feedback=said, reward=reward, parts={"task": reward}, done=True)

    def _right(self) -> bool:
        """Whether everything is as the task wants it."""
        found, changes = self._case, wanted(self._case, self._domain)
        if self._store.changes() != changes:
            return False
        if not all(told(each, self._said, len(found.outputs)) for each in found.outputs):
            return False
        if found.world is not None and wants_transfer(found) != self._handed_over:
            return False
        return not asks_nothing(found, changes) or self._looked()

    def _looked(self) -> bool:
        """Where nothing should happen, doing nothing is not enough: somebody spoke to the
        customer and looked up a record of it, and hands over only what should be."""
        if not any(line.strip() for line in self._said):
            return False
        if self._handed_over and not wants_transfer(self._case):
            return False
        return self._store.has_read(self._case.user_id)

    def state(self) -> dict[str, Any]:
        """What the official observation says beyond the feedback; not the customer's part."""
        return {"tools_info": ", ".join(sorted(self._domain.tools))}

    def reveal(self) -> dict[str, Any]:
        """What the official `info` says beyond the history: here nothing that is hidden."""
        return {}


def opening(found: Case, domain: Domain, *, instructions: bool, policy: bool) -> Sequence[Message]:
    """The opening messages: an official row's own, or the gym's."""
    messages = found.prompt or (
        Message("system", _INSTRUCTIONS),
        Message("user", found.opening),
    )
    shown = [message for message in messages if instructions or message.role != "system"]
    if policy:
        text = f"# Policy\n{domain.policy}"
        if shown and shown[0].role == "system":
            shown[0] = Message("system", f"{shown[0].content}\n\n{text}")
        else:
            shown.insert(0, Message("system", text))
    return shown


def make(
    task: Task,
    seed: Seed,
    *,
    behaviour: str = "fixed",
    persona: str = "plain",
    policy: bool = True,
    instructions: bool = True,
    tau_bench: str | Path = "",
    user: Voice | None = None,
) -> Env:
    """The environment of one dialogue; `seed` settles the customer's wording and its manner.

    behaviour:    `fixed`, or `official`: the released code's, bug for bug.
    persona:      how the customer speaks and when it leaves; `any` draws one. Not in `official`.
    policy:       show the company's policy in the opening. `official` never does.
    instructions: False leaves the message that explains the tool out.
    tau_bench:    a checkout of sierra-research/tau-bench, for official tasks.
    user:         who plays the customer; rule-based when None.

    Raises `UsageError` when the task is not of this gym, an option has no such value, or the task is
    tau-bench's and no checkout is named.
    """
    found, who = case(task), _persona(persona, seed)
    domain = domain_of(found, tau_bench)
    match behaviour:
        case "fixed":
            prompt = opening(found, domain, instructions=instructions, policy=policy)
            return Tau(found, domain, seed / "user", who, prompt=prompt, user=user)
        case "official":
            prompt = opening(found, domain, instructions=instructions, policy=False)
            return OfficialTau(found, domain, seed / "user", prompt=prompt, user=user)
        case _:
            raise UsageError(f"behaviour is {behaviour!r}; it is 'fixed' or 'official'")


_persona = persona
"""By another name, since an option of `make` has this one."""


def hidden(task: Task) -> Iterable[str]:
    """The customer's part as a whole. Its sentences it says itself, when it is asked."""
    return {case(task).instruction}


gym: Gym = Gym(
    name="tau",
    tasks=generate,
    read=read,
    make=make,
    scripts=SCRIPTS,
    max_turns=16,
    options={
        "behaviour": "fixed",
        "persona": "plain",
        "policy": True,
        "instructions": True,
        "tau_bench": "",
    },
    voices=("user",),
    hidden=hidden,
    summary="Do what a customer wants with a company's tools, as far as its policy allows.",
)
