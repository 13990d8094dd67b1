"""Users and judges that are models, on a real vLLM server, in every gym that takes them.

The model behind it can hardly speak: what it says is a guess in the shape that was asked for, or
noise in it that is no JSON, or never comes to its end. Run by `make test-vllm`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from msgspec import Struct

from duologue.engine import End, Fate, Message, PartyError, Reader, Stored, open_reader
from duologue.envs import ModelVoice, find, names

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

Duologue = Callable[..., Any]

GYMS = [name for name in names() if find(name).voices]

ERRORS = {"user": End.USER_ERROR, "judge": End.JUDGE_ERROR}

TASKS, TURNS = 8, 4

ROLLOUT = ("rollout", "--json", "--count", TASKS, "-s", f"env.max_turns={TURNS}")
IMPERFECT = (*ROLLOUT, "--model", "scripted:imperfect")

WILD = ("temperature=2.0", "max_tokens=256")
"""How to make a model that was taught a few words say anything at all, and now and then end it."""


class Call(Struct):
    """What a voice was asked, and whether it failed to say anything at all."""

    session: str
    messages: tuple[Message, ...]
    kind: type[Struct] | None
    failed: bool = False

    @property
    def again(self) -> bool:
        """Whether it is told that its last answer cannot be used."""
        return self.messages[-1].content.startswith("That cannot be used")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """All that voices are asked."""
    found: list[Call] = []
    ask = ModelVoice.ask

    async def noted(
        voice: ModelVoice, messages: Sequence[Message], kind: type[Struct] | None
    ) -> str:
        session = voice._session  # pyright: ignore[reportPrivateUsage]
        call = Call(session, tuple(messages), kind)
        found.append(call)
        try:
            return await ask(voice, messages, kind)
        except PartyError:
            call.failed = True
            raise

    monkeypatch.setattr(ModelVoice, "ask", noted)
    return found


def seated(url: str, parties: Sequence[str], *settings: str) -> list[str]:
    """The command line's words for these parties, served at `url`."""
    each = ("spec=openai:tiny", f"base_url={url}", *settings)
    return [word for party in parties for text in each for word in ("-s", f"{party}.{text}")]


def checked(done: Any, run: Path, gym: str) -> list[Stored]:
    """The dialogues of a run that did all that it was asked to, whatever its voices did."""
    assert done.code == 0, done.err
    with open_reader(run / "run.db") as reader:
        stored = list(reader.trajectories("rollout"))
        assert len({one.trajectory.key for one in stored}) == len(stored) == TASKS
        ends = Counter(one.trajectory.end for one in stored)
        assert done.json["ends"] == ends == reader.ends("rollout")
        assert sum(reader.fates("rollout").values()) == TASKS
        assert done.json["retried"] == sum(len(one.trajectory.discarded) for one in stored)
        rewards = [one.trajectory.reward for one in stored if one.trajectory.end.finished]
        mean = sum(rewards) / len(rewards) if rewards else None
        assert done.json["reward"] == (None if mean is None else pytest.approx(mean))
        for one in stored:
            check(one, reader, gym)
    return stored


def accounted(calls: list[Call], stored: list[Stored]) -> int:
    """How many calls failed: each of them ended an attempt at the dialogue that it was made for."""
    failures = Counter(call.session.rpartition("/")[0] for call in calls if call.failed)
    for one in stored:
        key, attempts = one.trajectory.key, [one.trajectory.end, *one.trajectory.discarded]
        lost = failures[f"rollout/{key.group:09d}/{key.sample:04d}"]
        assert lost <= sum(end.failed for end in attempts)
    return failures.total()


def check(one: Stored, reader: Reader, gym: str) -> None:
    """A failure is its party's and no reward; a reward is one that the gym can give."""
    trajectory, rules = one.trajectory, find(gym)
    failures = {ERRORS[party] for party in rules.voices}
    assert set(trajectory.discarded) <= failures
    if trajectory.end.finished:
        task = reader.task("rollout", trajectory.key.group)
        assert task is not None and one.fate is Fate.READY and not trajectory.detail
        worth, most = rules.score(task, trajectory)
        assert 0.0 <= worth <= most + 1e-9
        for turn in trajectory.turns:
            assert turn.reward == pytest.approx(sum(turn.parts.values()))
    else:
        assert trajectory.end in failures or trajectory.end is End.TIMEOUT
        assert one.fate is Fate.FAILED and trajectory.detail
        # What nobody could judge is no turn that earned nothing.
        assert len(trajectory.turns) < TURNS


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("gym", GYMS)
def test_every_dialogue_has_one_typed_end_and_no_failure_is_a_reward(
    gym: str, loop: str, chat_server: str, calls: list[Call], duologue: Duologue, tmp_path: Path
) -> None:
    voices = seated(chat_server, find(gym).voices, *WILD)
    run = ("--env", gym, "--loop", loop, "--run", tmp_path / "run")
    done = duologue(*IMPERFECT, *run, "-s", "rollout.attempts=2", *voices)
    stored = checked(done, tmp_path / "run", gym)
    mended = sum(call.again for call in calls)
    ends = Counter(str(one.trajectory.end) for one in stored)
    failed = accounted(calls, stored)
    print(f"{gym}, {loop}: {dict(ends)}; {len(calls)} asked, {mended} again, {failed} failed")
    # Whatever the gym, the server is asked for an answer of a shape.
    assert calls and all(call.kind is not None for call in calls)
    assert End.TIMEOUT not in ends


def test_one_word_of_three_is_held_to_by_the_server(
    chat_server: str, calls: list[Call], duologue: Duologue, tmp_path: Path
) -> None:
    voices = seated(chat_server, ["user"], *WILD)
    done = duologue(*IMPERFECT, "--env", "telepathy", "--run", tmp_path / "run", *voices)
    stored = checked(done, tmp_path / "run", "telepathy")
    assert len(calls) > TASKS and not any(call.again for call in calls)
    assert any(one.trajectory.end.finished for one in stored)
    for one in stored:
        assert one.trajectory.end.finished or "cut off" in one.trajectory.detail


def test_a_grade_is_used_only_when_it_is_on_the_scale(
    chat_server: str, calls: list[Call], duologue: Duologue, tmp_path: Path
) -> None:
    """The server lets through any number between 0 and 1; a point is worth 0, a half or 1."""
    voices = seated(chat_server, ["judge"], "temperature=2.0", "max_tokens=1000")
    run = ("--env", "turtle", "--model", "scripted:guess", "--run", tmp_path / "run")
    done = duologue(*ROLLOUT, *run, "-s", "rollout.attempts=1", *voices)
    stored = checked(done, tmp_path / "run", "turtle")
    ends = Counter(str(one.trajectory.end) for one in stored)
    off = [call for call in calls if call.again and "multiple of 0.5" in call.messages[-1].content]
    failed = accounted(calls, stored)
    asked = f"{len(calls)} asked, {failed} failed, {len(off)} off the scale"
    print(f"turtle, judge alone: {dict(ends)}; {asked}")
    with open_reader(tmp_path / "run" / "run.db") as reader:
        for one in (each.trajectory for each in stored if each.trajectory.end.finished):
            task = reader.task("rollout", one.key.group)
            assert task is not None
            weights = [point["score"] for point in task.data["evaluation"]]
            sums = {0.0}
            for weight in weights:
                sums = {whole + part * weight for whole in sums for part in (0, 0.5, 1)}
            assert any(one.reward == pytest.approx(possible) for possible in sums)


@pytest.mark.parametrize("gym", GYMS)
def test_an_answer_that_is_cut_off_is_a_failure(
    gym: str, chat_server: str, calls: list[Call], duologue: Duologue, tmp_path: Path
) -> None:
    voices = seated(chat_server, find(gym).voices, "max_tokens=2")
    run = ("--env", gym, "--run", tmp_path / "run", "-s", "rollout.attempts=1")
    stored = checked(duologue(*IMPERFECT, *run, *voices), tmp_path / "run", gym)
    failed = [one.trajectory for one in stored if one.trajectory.end.failed]
    assert failed and all("cut off at 2 tokens" in one.detail for one in failed)
    assert accounted(calls, stored) == len(failed) == len(calls)


def test_a_voice_that_takes_too_long_is_a_timeout_and_is_not_left_talking(
    chat_server: str, duologue: Duologue, tmp_path: Path
) -> None:
    voices = seated(chat_server, ["user", "judge"], "temperature=0.0", "max_tokens=4000")
    run = ("--env", "turtle", "--run", tmp_path / "run", "-s", "rollout.deadline_s=0.3")
    stored = checked(duologue(*IMPERFECT, *run, *voices), tmp_path / "run", "turtle")
    assert {one.trajectory.end for one in stored} == {End.TIMEOUT}
    until = time.monotonic() + 20
    while busy := requests_in(chat_server):
        assert time.monotonic() < until, f"{busy} requests are left"
        time.sleep(0.05)


def requests_in(url: str) -> float:
    """What the server works on, by its own count."""
    with urlopen(f"{url.removesuffix('/v1')}/metrics") as answer:
        text = answer.read().decode()
    found = re.findall(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", text, re.MULTILINE)
    assert len(found) == 2
    return sum(map(float, found))
