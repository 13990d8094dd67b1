"""The report is one whole page: well formed, injection-proof, and empty where nothing is known."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import duologue.report as report_module
from duologue.engine import (
    Action,
    End,
    Fate,
    Key,
    Message,
    Span,
    Task,
    Trajectory,
    Turn,
    pack_tokens,
)
from duologue.report import (
    Archive,
    Evaluation,
    Headline,
    Interval,
    Level,
    Report,
    Sample,
    ScoreRow,
    ScoreTable,
    Sheet,
    render,
    write,
)

_VOID = {"input", "link", "meta"}
_HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<!-- ]]> --> <![CDATA[",
    "</div></body></html>",
    "&lt;script&gt; &amp; &#x3c;",
    "<think>unclosed",
    '<tool_call>{"name": "x"}',
    '{"a": "</script>"}',
    "\u202eright to left",
    "\ud800 \x00 \x1b[31m \r\n \uffff",
)
_texts = st.one_of(
    st.sampled_from(_HOSTILE),
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.lists(st.sampled_from(_HOSTILE), max_size=4).map("".join),
)
_numbers = st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=3), st.booleans())
_keys = st.sampled_from(
    [
        "step",
        "reward",
        "turns",
        "length",
        "staleness_mean",
        "staleness_max",
        "entropy",
        "clip_fraction_low",
        "clip_fraction_high",
        "grad_norm",
        "seconds_sample",
        "seconds_push",
        "kl",
    ]
)


class Page(HTMLParser):
    """The page as a parser sees it; refuses elements that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is given twice"
        if tag not in _VOID:
            self._open.append(tag)
            if tag == "script":
                self.scripts.append("")
            else:
                self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self.texts:
            self.texts[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def ids(self) -> set[str | None]:
        return {attributes["id"] for _, attributes in self.tags if "id" in attributes}

    def blocks(self) -> Iterator[Mapping[str, object]]:
        for (_, attributes), text in zip(self._script_tags(), self.scripts, strict=True):
            if attributes.get("type") == "application/json":
                yield json.loads(text)

    def _script_tags(self) -> list[tuple[str, dict[str, str | None]]]:
        return [tag for tag in self.tags if tag[0] == "script"]


def _trajectory(
    text: str = "I would ask.", *, end: End = End.DONE, task: str = "t-1"
) -> Trajectory:
    return Trajectory(
        key=Key(0, 0),
        task=task,
        env="travel",
        split="test",
        end=end,
        detail=text,
        opening=(Message("system", text), Message("user", text)),
        turns=(
            Turn(
                text=f"<think>{text}</think><tool_call>{text}</tool_call>",
                actions=(Action(text, text),),
                feedback=text,
                reward=0.5,
                parts={text: 0.5},
            ),
            Turn(text=text, feedback=text, reward=-0.25),
        ),
        tokens=pack_tokens([1] * 6, [0, 1, 1, 0, 1, 1], [0.0] * 6, [1, 4], [Span(0, 6, 3)]),
    )


def _full(text: str = "plain") -> Report:
    """A report with something in every field."""
    curves: list[dict[str, object]] = [
        {"step": s, "reward": s / 40, "entropy": 1 / s, "seconds_sample": 2.0, f"kl {text}": 0.1}
        for s in range(1, 31)
    ]
    row = ScoreRow(
        name=text,
        reward=Interval(0.5, 0.4, 0.6),
        fraction=Interval(0.8, 0.7, 0.9),
        turns=4.5,
        n=64,
        emphasis=True,
    )
    return Report(
        title=text,
        subtitle=text,
        facts=[(text, text)],
        headlines=[Headline(text, text, text)],
        warnings=[text],
        table=ScoreTable(rows=[row], note=text),
        sheets=[Sheet(text, [text, text], [[text, text]], text)],
        curves=curves,
        evaluations=[Evaluation(0, 0.3, 0.2, 0.4), Evaluation(30, 0.7, 0.6, 0.8)],
        levels=[Level(text, 0.9)],
        cold_start=[{"step": s, "loss": 1 / s} for s in range(1, 20)],
        fates={Fate.TRAINED: 2, Fate.FAILED: 1},
        ends={End.DONE: 2, End.TIMEOUT: 1},
        before=[_trajectory(text)],
        after=[_trajectory(text)],
        before_label=text,
        after_label=text,
        archive=_archive(text),
        config=text,
    )


def _archive(text: str) -> Archive:
    """Two phases whose dialogues differ in whatever a filter can choose by."""
    archive = Archive({"rollout": 1, text: 1}, replay=text, notes=[text])
    ends = {"rollout": (End.DONE, Fate.READY), text: (End.TIMEOUT, Fate.FAILED)}
    for phase, (end, fate) in ends.items():
        trajectory = _trajectory(text, end=end, task=text)
        task = Task(env="travel", id=text, data={text: text})
        archive.add(phase, 0, task, [Sample(trajectory=trajectory, fate=fate)])
    return archive


def _shown(text: str) -> str:
    """The text as a page can carry it: one kind of newline, nothing unprintable."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


@settings(max_examples=60, deadline=None)
@given(_texts)
def test_any_text_stays_text(text: str) -> None:
    html = render(_full(text))
    html.encode()
    page, plain = Page(html), Page(render(_full()))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags} | {"details", "pre"}
    assert len(page.scripts) == len(plain.scripts)
    assert page.scripts[-1] == plain.scripts[-1]
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert page.texts.count(_shown(text)) >= plain.texts.count("plain") / 2
    list(page.blocks())


def test_a_metric_named_like_markup_cannot_leave_its_script() -> None:
    name = "</script><script>alert(1)//"
    page = Page(render(Report(title="t", curves=[{"step": 1, name: 1.0}, {"step": 2, name: 2.0}])))
    (block,) = page.blocks()
    assert block["rows"] == [{"name": name, "values": ["1", "2"]}]
    assert "alert(1)" not in page.scripts[-1]


def test_the_page_fetches_nothing() -> None:
    html = render(_full("see https://example.org/x and //example.org/y"))
    for _, attributes in Page(html).tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            link = attributes.get(name) or ""
            assert link == "" or link == "data:," or link.startswith("#")
    assert "url(" not in html
    assert "@import" not in html


def test_only_our_own_script_may_run() -> None:
    page = Page(render(_full()))
    (policy,) = [a["content"] or "" for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/]+=*';", policy)
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.sampled_from(Fate), st.integers(0, 10**9)),
    st.dictionaries(st.sampled_from(End), st.integers(0, 10**9)),
)
def test_percentages_sum_to_a_hundred(fates: dict[Fate, int], ends: dict[End, int]) -> None:
    html = render(Report(title="t", fates=fates, ends=ends))
    sums = [
        sum(round(10 * float(share)) for share in re.findall(r"<b>(\d+\.\d)\u202f%</b>", table))
        for table in re.findall('<table class="tally">.*?</table>', html, re.DOTALL)
    ]
    assert sums == [1000 for counts in (fates, ends) if sum(counts.values())]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.dictionaries(_keys, _numbers), max_size=40),
    st.lists(st.builds(Evaluation, st.integers(0, 50), st.floats(), st.floats(), st.floats())),
    st.lists(st.builds(Interval, st.floats(), st.floats(), st.floats()), max_size=4),
    st.floats(),
)
def test_any_numbers_can_be_drawn(
    curves: list[dict[str, object]],
    evaluations: list[Evaluation],
    intervals: list[Interval],
    level: float,
) -> None:
    rows = [ScoreRow(name="r", reward=i, fraction=i, turns=i.mean) for i in intervals]
    html = render(
        Report(
            title="t",
            curves=curves,
            cold_start=curves,
            evaluations=evaluations,
            levels=[Level("l", level)],
            table=ScoreTable(rows=rows),
        )
    )
    list(Page(html).blocks())
    drawn = " ".join(a.get("d") or "" for tag, a in Page(html).tags if tag == "path")
    assert not re.search("nan|inf", drawn)


def test_a_missing_value_breaks_the_line() -> None:
    curve = [{"step": s, "reward": math.nan if s == 3 else 1.0 * s} for s in range(1, 7)]
    (line,) = _paths(Report(title="t", curves=curve), "trend")
    assert line.count("M") == 2


def test_a_lone_value_is_a_dot() -> None:
    (line,) = _paths(Report(title="t", curves=[{"step": 5, "reward": 0.5}]), "trend")
    assert line.endswith("h0")


def test_the_later_of_two_rows_for_a_step_stands() -> None:
    rows = [{"step": 1, "reward": 0.1}, {"step": 2, "reward": 9.0}, {"step": 2, "reward": 0.2}]
    (block,) = Page(render(Report(title="t", curves=rows))).blocks()
    assert block["rows"] == [{"name": "training reward", "values": ["0.100", "0.200"]}]


def test_a_long_run_keeps_its_spikes_and_a_bounded_size() -> None:
    curve = [{"step": s, "reward": 5.0 if s == 2345 else 0.0} for s in range(6_000)]
    html = render(Report(title="t", curves=curve))
    raw = _paths(Report(title="t", curves=curve), "raw")[0]
    assert re.search(r" 390\.9 66\.7\b", raw)
    assert len(html) < 200_000


def _paths(report: Report, kind: str) -> list[str]:
    tags = Page(render(report)).tags
    paths = [a for tag, a in tags if tag == "path" and kind in (a.get("class") or "").split()]
    return [a["d"] or "" for a in paths if a["d"] != "M1 5H23"]


def test_metrics_without_a_chart_of_their_own_are_still_shown() -> None:
    page = Page(render(Report(title="t", curves=[{"step": 1, "learning_rate": 1e-6}])))
    assert "1 other metric" in page.texts
    assert "Learning rate" in page.texts


@pytest.mark.parametrize(
    ("section", "without"),
    [
        ("scores", {"table": None}),
        ("training", {"curves": (), "evaluations": ()}),
        ("cold-start", {"cold_start": ()}),
        ("fates", {"fates": {}, "ends": {}}),
        ("samples", {"before": (), "after": ()}),
        ("configuration", {"config": ""}),
    ],
)
def test_a_section_without_data_is_left_out(section: str, without: dict[str, Any]) -> None:
    full = _full()
    assert section in Page(render(full)).ids()
    rest = Page(render(replace(full, **without))).ids()
    assert Page(render(full)).ids() - rest == {section, f"{section}-title"}


def test_a_report_of_nothing_is_a_page() -> None:
    page = Page(render(Report(title="nothing yet")))
    assert "nothing yet" in page.texts
    assert "section" not in {tag for tag, _ in page.tags}


def test_without_an_archive_there_is_nothing_to_browse() -> None:
    page = Page(render(replace(_full(), archive=None)))
    assert not {"dialogues", "browser", "columns"} & page.ids()


def test_dialogues_of_one_task_stand_side_by_side() -> None:
    report = Report(
        title="t",
        before=[_trajectory(task="a"), _trajectory(task="b")],
        after=[_trajectory(task="b"), _trajectory(task="c")],
    )
    pairs = [a["class"] for _, a in Page(render(report)).tags if "pair" in (a.get("class") or "")]
    assert pairs == ["pair of-1", "pair of-2", "pair of-1"]


def test_a_failed_dialogue_has_no_reward() -> None:
    page = Page(render(Report(title="t", after=[_trajectory(end=End.JUDGE_ERROR)])))
    assert "0.250" not in page.texts
    assert "judge error" in page.texts


def test_the_call_is_shown_tidy_and_as_written() -> None:
    written = '<tool_call>{"choice": "search"}</tool_call>'
    turn = Turn(text=f"Let me look. {written}", actions=(Action("search", '{"q":"x"}'),))
    trajectory = Trajectory(
        key=Key(0, 0), task="t", env="search", split="test", end=End.DONE, turns=(turn,)
    )
    texts = Page(render(Report(title="t", after=[trajectory]))).texts
    assert {"Let me look.", "search", '{"q": "x"}', turn.text} <= set(texts)


def test_the_same_report_gives_the_same_bytes() -> None:
    script = (
        "import hashlib; from duologue.engine import *; from duologue.report import *;"
        "rows = [{'step': i, 'b': 1.0, 'a': 2.0, 'seconds_x': 1.0, 'seconds_y': 2.0}"
        " for i in range(3)];"
        "page = render(Report(title='t', curves=rows, fates={Fate.READY: 1}));"
        "print(hashlib.sha256(page.encode()).hexdigest())"
    )
    digests = {_run(script, hash_seed) for hash_seed in ("1", "2")}
    assert len(digests) == 1
    assert render(_full()) == render(_full())


def _run(script: str, hash_seed: str) -> str:
    front = Path(report_module.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(front)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_write_leaves_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    assert write(_full(), path) == path
    assert path.read_text(encoding="utf-8") == render(_full())
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_what_stood_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(Report(title="old"), tmp_path / "report.html")
    monkeypatch.setattr(Path, "replace", _refuse)
    with pytest.raises(OSError, match="no space"):
        write(Report(title="new"), path)
    assert path.read_text(encoding="utf-8") == render(Report(title="old"))
    assert list(tmp_path.iterdir()) == [path]


def _refuse(_path: Path, _target: Path) -> Path:
    raise OSError("no space left on device")
