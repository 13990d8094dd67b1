"""The dialogues of a page: packed without loss, thinned evenly, and never more than its bounds."""

from __future__ import annotations

import json
import math
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engine import (
    Action,
    End,
    Fate,
    Key,
    Message,
    Span,
    Stored,
    Task,
    Trajectory,
    Turn,
    open_reader,
    open_store,
    pack_tokens,
)
from duologue.jobs._browse import _samples, archive_run
from duologue.jobs._spell import find_spell
from duologue.report import BYTES, DIALOGUES, Archive, Coverage, Report, Sample, render
from duologue.report._browser import covered
from duologue.report._record import Vocabulary
from duologue.train import Shaping, shape

Duologue = Callable[..., Any]

_texts = st.text(st.characters(exclude_categories=()), max_size=40)


def _trajectory(
    group: int = 0,
    sample: int = 0,
    *,
    texts: Sequence[str] = ("hello",),
    end: End = End.DONE,
    rewards: Sequence[float] = (1.0,),
    tokens: bool = False,
) -> Trajectory:
    turns = tuple(
        Turn(text=text, feedback=text, reward=reward, actions=(Action("action", text),))
        for text, reward in zip(texts, rewards, strict=True)
    )
    stream = None
    if tokens:
        n = len(turns)
        starts = [1 + 3 * k for k in range(n)]
        stream = pack_tokens(
            range(1 + 3 * n),
            [0, *[1, 1, 0] * n],
            [0.0, *[-0.125, -2.5, 0.0] * n],
            starts,
            [Span(start, start + 2, k) for k, start in enumerate(starts)],
        )
    return Trajectory(
        key=Key(group, sample), task=f"t-{group}", env="travel", split="train", end=end,
        opening=(Message("user", texts[0]),) if texts else (), turns=turns, tokens=stream,
    )  # fmt: skip


def _unpacked(archive: Archive) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(row, record) of every dialogue, found the way the script finds them."""
    columns = cast("dict[str, list[Any]]", archive.columns())
    chunks = [zlib.decompress(chunk).split(b"\n") for chunk in archive.chunks()]
    for i in range(len(columns["phase"])):
        row = {name: column[i] for name, column in columns.items()}
        chunk, line = int(row["chunk"]), int(row["line"])
        group = json.loads(chunks[chunk][line])
        yield row, group["samples"][row["place"]] | {"data": group.get("data", "")}


@given(st.lists(_texts, min_size=1, max_size=3), _texts)
def test_every_text_comes_back_as_it_was(texts: list[str], detail: str) -> None:
    trajectory = _trajectory(texts=texts, rewards=[0.5] * len(texts))
    archive = Archive({detail: 1})
    archive.add(detail, 0, Task(env="e", id="i", data=[texts]), [Sample(trajectory=trajectory)])
    ((row, record),) = _unpacked(archive)
    assert row["phase"] == detail
    assert [turn["text"] for turn in record["turns"]] == texts
    assert [turn.get("feedback", "") for turn in record["turns"]] == texts
    assert [turn["actions"][0]["content"] for turn in record["turns"]] == texts
    assert record["opening"] == [["user", texts[0]]]
    render(Report(title="t", archive=archive)).encode()


def test_numbers_that_json_cannot_say_are_left_blank() -> None:
    archive = Archive({"rollout": 1})
    trajectory = _trajectory(texts=["a", "b"], rewards=[math.nan, math.inf])
    archive.add("rollout", 0, None, [Sample(trajectory=trajectory, seconds=math.inf)])
    ((row, record),) = _unpacked(archive)
    assert row["reward"] is None
    assert row["rewards"] == [None, None]
    assert [turn["reward"] for turn in record["turns"]] == [None, None]


@pytest.mark.parametrize("end", End)
def test_only_an_end_that_counts_has_a_reward(end: End) -> None:
    archive = Archive({"rollout": 1})
    archive.add("rollout", 0, None, [Sample(trajectory=_trajectory(end=end))])
    ((row, _),) = _unpacked(archive)
    assert row["reward"] == (1.0 if end.finished or end.cut_short else None)


def test_a_turn_has_its_own_tokens_and_the_weights_that_sampled_them() -> None:
    archive = Archive({"train": 1}, spell=lambda ids: [f"{i}," for i in ids])
    trajectory = _trajectory(texts=["1,2", "4,5"], rewards=[1, 2], tokens=True)
    archive.add("train", 0, None, [Sample(trajectory=trajectory, advantages=[0.5, -0.5])])
    ((row, record),) = _unpacked(archive)
    pieces = json.loads(zlib.decompress(archive.vocabulary()))
    assert [[pieces[k] for k in turn["tokens"]] for turn in record["turns"]] == [
        ["1,", "2,"], ["4,", "5,"],
    ]  # fmt: skip
    assert [turn["logps"] for turn in record["turns"]] == [[12, 250], [12, 250]]
    assert [turn["versions"] for turn in record["turns"]] == [[[0, 2]], [[1, 2]]]
    assert [turn["advantage"] for turn in record["turns"]] == [0.5, -0.5]
    assert (row["tokens"], record["length"], row["oldest"], row["newest"]) == (4, 7, 0, 1)


def test_a_dialogue_that_failed_before_its_first_turn_may_have_a_stream() -> None:
    trajectory = _trajectory(texts=[], rewards=[], end=End.MODEL_ERROR, tokens=True)
    archive = Archive({"train": 1})
    archive.add("train", 0, None, [Sample(trajectory=trajectory)])
    ((row, record),) = _unpacked(archive)
    assert (row["turns"], row["tokens"]) == (0, 0)
    assert (record["length"], "turns" in record) == (1, False)
    render(Report(title="t", archive=archive, after=[trajectory]))


def test_a_tokenizer_that_reads_a_turn_otherwise_is_not_believed() -> None:
    vocabulary = Vocabulary(lambda ids: ["x" for _ in ids])
    assert vocabulary.indices([7, 8], "xx") == [0, 0]
    right = vocabulary.indices([7, 8], "hello")
    assert [vocabulary.pieces[k] for k in right] == ["⟨7⟩", "⟨8⟩"]
    assert vocabulary.numbered == 2


def test_tokens_without_a_text_are_said_to_be() -> None:
    archive = Archive({"train": 1}, unspelled="it is lost", notes=["First."])
    assert archive.notes() == ["First."]
    archive.add("train", 0, None, [Sample(trajectory=_trajectory(tokens=True))])
    assert archive.notes() == ["First.", "2 tokens are shown by number: it is lost."]


def test_a_small_run_is_shown_whole() -> None:
    archive = _filled({"train": 30, "eval/trained": 10}, dialogues=40)
    assert [(c.shown, c.stride) for c in archive.coverage()] == [(30, 1), (10, 1)]
    assert covered(archive.coverage()) == "All 40 dialogues of the run."


def _filled(
    counts: dict[str, int],
    *,
    samples: int = 1,
    words: int = 1,
    dialogues: int = DIALOGUES,
    size: int = BYTES,
) -> Archive:
    archive = Archive(counts, dialogues=dialogues, size=size)
    for phase, count in counts.items():
        for ordinal in range(count // samples):
            text = " ".join(f"{ordinal * words + k:x}" for k in range(words))
            group = [_trajectory(ordinal, k, texts=[text]) for k in range(samples)]
            archive.add(phase, ordinal, None, [Sample(trajectory=each) for each in group])
    return archive


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=1),
    st.integers(1, 4),
    st.integers(4, 80),
)
def test_what_is_left_out_is_whole_groups_evenly(
    groups: dict[str, int], samples: int, room: int
) -> None:
    counts = {phase: count * samples for phase, count in groups.items()}
    archive = _filled(counts, samples=samples, dialogues=room)
    rows = [row for row, _ in _unpacked(archive)]
    for phase, shown, total, stride in archive.coverage():
        kept = Counter(row["group"] for row in rows if row["phase"] == phase)
        assert set(kept) == set(range(0, groups[phase], stride))
        assert set(kept.values()) == {samples}
        assert (shown, total) == (kept.total(), counts[phase])
        assert stride & (stride - 1) == 0
    assert len(rows) <= max(room, len(groups) * samples)


def test_bytes_have_a_bound_too_and_the_records_still_fit_their_rows() -> None:
    archive = _filled({"a": 600, "b": 100}, words=2000, size=1 << 20)
    assert sum(map(len, archive.chunks())) <= (1 << 20) + (1 << 18)
    a, b = archive.coverage()
    assert a.stride > 1
    assert a.shown == len(range(0, 600, a.stride))
    assert b.shown == len(range(0, 100, b.stride))
    for row, record in _unpacked(archive):
        assert record["turns"][0]["text"].startswith(f"{row['group'] * 2000:x} ")


def test_the_page_says_what_it_leaves_out() -> None:
    phases = [Coverage("train", 10, 40, 4), Coverage("eval/trained", 5, 5, 1)]
    assert covered(phases) == (
        "15 of the run's 45 dialogues. Thinned evenly: train, every 4th group (10 of 40); "
        "whole: eval/trained."
    )


def _stored(trajectory: Trajectory, fate: Fate, *, life: int = 0, phase: str = "train") -> Stored:
    return Stored(phase=phase, trajectory=trajectory, seconds=1.0, fate=fate, life=life, step=3)


def _ageless(_stored: Stored) -> None:
    return None


def test_advantages_are_those_the_learner_was_given() -> None:
    rewards = [[1.0, 0.0], [0.0, 0.5], [9.0, 9.0]]
    members = [
        _trajectory(0, k, texts=["a", "b"], rewards=each, tokens=True)
        for k, each in enumerate(rewards)
    ]
    fates = [Fate.TRAINED, Fate.TRAINED, Fate.FILTERED]
    stored = [_stored(*each) for each in zip(members, fates, strict=True)]
    shaping = Shaping(turn="r2g", combine="official", scale="sample")
    shown = [sample.advantages for sample in _samples(stored, _ageless, shaping)]
    assert shown == [*shape(members[:2], shaping), None]


def test_an_advantage_that_the_group_alone_does_not_say_is_not_shown() -> None:
    stored = [_stored(_trajectory(0, k, rewards=[k], tokens=True), Fate.TRAINED) for k in range(2)]
    samples = _samples(stored, _ageless, Shaping(scale="batch"))
    assert [sample.advantages for sample in samples] == [None, None]


def test_a_dialogue_that_was_run_again_is_told_from_the_one_that_counts() -> None:
    stored = [
        _stored(_trajectory(0, 0), Fate.READY),
        _stored(_trajectory(0, 0), Fate.TRAINED, life=1),
        _stored(_trajectory(0, 1), Fate.READY),
    ]
    samples = _samples(stored, _ageless, None)
    assert [(s.life, s.superseded) for s in samples] == [(0, True), (1, False), (0, False)]


@pytest.mark.parametrize(
    ("phase", "end", "offered"),
    [
        ("rollout", End.DONE, True),
        ("eval/expert", End.USER_ERROR, True),
        ("train", End.DONE, False),
        ("rollout", End.TIMEOUT, False),
        ("rollout", End.CANCELLED, False),
    ],
)
def test_a_replay_that_is_always_refused_is_not_offered(
    phase: str, end: End, offered: bool
) -> None:
    stored = _stored(_trajectory(end=end), Fate.READY, phase=phase)
    (sample,) = _samples([stored], _ageless, None)
    assert sample.replayable is offered


async def _write(path: Path, count: int, text: str) -> None:
    async with (
        open_store(path, name="big", config="", facts={}) as store,
        anyio.create_task_group() as tasks,
    ):
        for ordinal in range(count):
            await store.open_group("rollout", ordinal, Task(env="e", id=str(ordinal)))
            trajectory = _trajectory(ordinal, texts=[f"{ordinal} {text}"])
            tasks.start_soon(partial(store.append, "rollout", trajectory, seconds=1.0))


def test_a_run_larger_than_the_page_is_never_in_memory_whole(tmp_path: Path) -> None:
    count, text = 400, "a text of some length, again and again; " * 500
    anyio.run(_write, tmp_path / "run.db", count, text)
    with open_reader(tmp_path / "run.db") as reader:
        tracemalloc.start()
        try:
            archive = archive_run(reader, tmp_path, 100)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert [c.shown for c in archive.coverage()] == [100]
    assert peak < count * len(text)  # each is written four times: prompt, reply, action, feedback


def test_tokens_are_numbers_when_no_tokenizer_is_there(tmp_path: Path) -> None:
    spell, why = find_spell(tmp_path, None)
    assert spell is None
    assert why == "no tokenizer lies with the run or its model"


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "models" / "init" / "tokenizer.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    spell, why = find_spell(tmp_path, None)
    assert spell is None
    assert f"{file} is not a tokenizer" in why


def test_a_character_of_several_tokens_is_written_once(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {c: i for i, c in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))},
            [],
        )
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    (tmp_path / "models" / "init").mkdir(parents=True)
    made.save(str(tmp_path / "models" / "init" / "tokenizer.json"))
    spell, _ = find_spell(tmp_path, None)
    assert spell is not None
    assert spell(made.encode("a好b").ids) == ["a", "好", "", "", "b"]


def test_the_command_bounds_the_page(duologue: Duologue, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert duologue("rollout", "--count", 20, "--samples", 2, "--run", run).code == 0
    page = run / "report.html"
    assert duologue("report", run).code == 0
    assert "All 40 dialogues of the run." in page.read_text()
    assert duologue("report", run, "--dialogues", 10).code == 0
    assert "every 4th group (10 of 40)" in page.read_text()
    assert duologue("report", run, "--dialogues", 0).code == 0
    assert 'id="dialogues"' not in page.read_text()
    refused = duologue("report", run, "--dialogues", -1)
    assert (refused.code, "must not be negative" in refused.err) == (2, True)
