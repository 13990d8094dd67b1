"""`openai:` against the real vLLM server's chat routes. Run by `make test-vllm`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Struct

from duologue.agents import read_calls
from duologue.agents.models import Request, Sampling
from duologue.agents.models._structured import ask_json
from duologue.agents.models.http._parse import BadStatus
from duologue.agents.models.limits._limits import Bill
from duologue.agents.models.openai._chat import read_answer
from duologue.agents.models.openai._model import open_openai
from duologue.engine import Message, Seed, Trajectory, open_reader
from duologue.envs import find

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

Duologue = Callable[..., Any]


class Grade(Struct, frozen=True):
    score: Literal["good", "bad"]


@pytest.fixture(autouse=True)
def address(chat_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", chat_server)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def trajectories(run: Path) -> list[Trajectory]:
    with open_reader(run / "run.db") as reader:
        return [stored.trajectory for stored in reader.trajectories("rollout")]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_dialogues_with_a_served_model(loop: str, duologue: Duologue, tmp_path: Path) -> None:
    words = ["rollout", "--model", "openai:tiny", "--count", 24, "--live", 16]
    talk = [
        "-s",
        "env.options={instructions = false}",
        "-s",
        "model.max_tokens=48",
        "-s",
        "model.temperature=0.5",
    ]
    tape = tmp_path / "tape"
    done = duologue(
        *words, *talk, "--loop", loop, "--run", tmp_path / "first", "--record", tape, "--json"
    )
    assert done.code == 0, done.err
    found = trajectories(tmp_path / "first")
    ends = Counter(one.end for one in found)
    print(
        ends, {one.detail for one in found}, [one.turns[0].text for one in found[:5] if one.turns]
    )
    assert len(found) == 24 and not any(end.failed for end in ends)
    assert any(turn.actions for one in found for turn in one.turns)
    assert "prompt_tokens=" in done.err and "prompt_tokens=0" not in done.err
    again = duologue(*words, *talk, "--run", tmp_path / "again", "--replay", tape, "--json")
    assert again.code == 0
    assert trajectories(tmp_path / "again") == found


@pytest.mark.anyio
async def test_its_calls_come_in_structure_and_leave_as_text() -> None:
    gym = find("intention")
    tasks = gym.tasks("train", Seed(0))
    structured = 0
    async with open_openai("tiny") as model:
        for task in islice(tasks, 8):
            env = gym.make(task, Seed(0), **{**gym.options, "instructions": False})
            sampling = Sampling(temperature=0.5, max_tokens=48)
            request = Request(session=task.id, messages=env.prompt(), sampling=sampling)
            raw = await model._post(model._body(request), Bill())
            if msgspec.json.decode(raw)["choices"][0]["message"]["tool_calls"]:
                structured += 1
                assert read_calls(read_answer(raw)[0].text)
    assert structured


@pytest.mark.anyio
async def test_answers_in_the_shape_that_was_asked_for() -> None:
    async with open_openai("tiny", tools=False) as model:
        for seed in range(3):
            messages = [Message("user", "What about the budget?")]
            sampling = Sampling(temperature=1.0, max_tokens=256)
            grade = await ask_json(
                model, messages, Grade, session="j", seed=seed, sampling=sampling
            )
            assert grade.score in ("good", "bad")
        assert model.usage.completion_tokens > 0


@pytest.mark.anyio
async def test_the_same_seed_gives_the_same_words() -> None:
    request = Request(session="s", seed=5, messages=[Message("user", "What about the budget?")])
    async with open_openai("tiny") as model:
        assert await model.generate(request) == await model.generate(request)


@pytest.mark.anyio
async def test_a_name_that_is_not_served() -> None:
    async with open_openai("huge") as model:
        with pytest.raises(BadStatus, match=r"answered 404.*check the model's name, 'huge'"):
            await model.generate(Request(session="s", messages=[Message("user", "Hello?")]))
