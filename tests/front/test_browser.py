"""The report in a real browser: opened from a file, with no network. Run by `make test-browser`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import anyio
import pytest

pytest.importorskip("playwright", reason="playwright is in the extra `dev`")

from browser_page import Chromium, Report, open_chromium

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
from duologue.jobs._report import make_report
from duologue.report import Archive, Sample, write
from duologue.report import Report as Contents
from duologue.report._numbers import DASH, figure, signed
from duologue.train import Shaping, shape

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SAMPLES = 4
WORDS = ("anchor", "birch", "candle", "dove", "ember", "fjord", "grove")

LOGPS = (-0.02, -0.4, -1.5, -4.0, -7.0)
"""One for each colour of a token."""


# ---------------------------------------------------------------- a run whose every row is known


def _trajectory(phase: str, group: int, sample: int) -> Trajectory:
    """Ends, lengths, rewards, words and weights vary with the numbers, each at its own pace."""
    n = group * SAMPLES + sample
    end = (End.DONE, End.MAX_TURNS, End.USER_ENDED, End.USER_ERROR, End.TRUNCATED)[n % 5]
    count = 0 if end is End.USER_ERROR and n % 2 else 1 + n % 4
    turns = tuple(
        Turn(
            text=f"Is it the {WORDS[(n + k) % 7]}? Dialogue {n}, turn {k}.",
            actions=(Action("action", f"Is it the {WORDS[(n + k) % 7]}?"),),
            feedback=f"Not {WORDS[(n + 2 * k) % 7].upper()}, go on.",
            reward=((n * 7 + k * 3) % 11 - 3) / 10,
            parts={"coverage": ((n + k) % 5) / 10, "tone": -0.1},
        )
        for k in range(count)
    )
    tokens = None
    if phase == "train":
        starts = [2 + 5 * k for k in range(count)]
        length = 2 + 5 * count
        mask = [0, 0, *[1, 1, 1, 1, 0] * count]
        first = group // 3
        spans = [Span(s, s + 3, first) for s in starts] + [
            Span(s + 3, s + 4, first + k % 2) for k, s in enumerate(starts)
        ]
        logps = [LOGPS[(i + i // 5 + n) % 5] * m for i, m in enumerate(mask)]
        tokens = pack_tokens(
            range(length), mask, logps, starts, sorted(spans, key=lambda s: s.start)
        )
    return Trajectory(
        key=Key(group, sample), task=f"task-{group % 6}", split="train", end=end,
        env="intention" if group % 3 else "function", detail="" if end.finished else "it broke",
        opening=(Message("system", "Be brief."), Message("user", f"Guess my {WORDS[group % 7]}.")),
        turns=turns, tokens=tokens, discarded=(End.MODEL_ERROR,) if n % 9 == 0 else (),
    )  # fmt: skip


async def _store_run(folder: Path) -> None:
    groups = {"eval/trained": 12, "train": 24}
    async with open_store(folder / "run.db", name="known", config="", facts={}) as store:
        for version in range(10):
            await store.add_version(version, version - 1 if version else None, version)
        async with anyio.create_task_group() as tasks:
            for phase, count in groups.items():
                for group in range(count):
                    one = _trajectory(phase, group, 0)
                    task = Task(env=one.env, id=one.task, data={"secret": WORDS[group % 7]})
                    await store.open_group(phase, group, task)
                    for sample in range(SAMPLES):
                        each = _trajectory(phase, group, sample)
                        fate = (
                            Fate.READY if each.end.finished or each.end.cut_short else Fate.FAILED
                        )
                        tasks.start_soon(
                            partial(store.append, phase, each, seconds=sample + 0.5, fate=fate)
                        )
        for group in range(24):
            keys = [Key(group, s) for s in range(SAMPLES)]
            good = [k for k in keys if _trajectory("train", *_pair(k)).end.finished]
            await store.settle("train", [group], group // 3 + 1 + group % 2, {Fate.TRAINED: good})


def _pair(key: Key) -> tuple[int, int]:
    return key.group, key.sample


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    anyio.run(_store_run, folder)
    make_report(folder)
    return folder


@pytest.fixture(scope="module")
def stored(run: Path) -> dict[str, Stored]:
    with open_reader(run / "run.db") as reader:
        return {_name(each): each for each in reader.trajectories()}


def _name(stored: Stored) -> str:
    key = stored.trajectory.key
    return f"{stored.phase}:{key.group}/{key.sample}"


@pytest.fixture(scope="module")
def chromium(run: Path) -> Generator[Chromium]:
    # After the run, which takes a loop to write.
    with open_chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def _wide(chromium: Chromium) -> Generator[Report]:
    with chromium.open() as report:
        yield report


@pytest.fixture
def report(_wide: Report, run: Path) -> Generator[Report]:
    """The known run's page, freshly opened; whatever it complained about fails the test."""
    _wide.complaints.clear()
    _wide.open(run / "report.html")
    yield _wide
    assert _wide.complaints == []
    assert [url for url in _wide.requests if not url.startswith("file:")] == []


# ---------------------------------------------------------------- opening


def test_it_opens_from_a_file_and_asks_for_nothing_else(report: Report, run: Path) -> None:
    assert report.requests == [(run / "report.html").as_uri()]
    assert report.page.inner_text("#found") == "144 dialogues"
    assert report.opened() == "eval/trained:0/0"


def test_every_dialogue_is_listed_in_the_order_of_the_run(
    report: Report, stored: dict[str, Stored]
) -> None:
    assert report.listed() == list(stored)


# ---------------------------------------------------------------- filters

Fields = dict[str, str]


def _versions(one: Stored) -> list[int]:
    tokens = one.trajectory.tokens
    return [] if tokens is None else [span.version for span in tokens.spans]


def _counts(one: Stored) -> bool:
    return one.trajectory.end.finished or one.trajectory.end.cut_short


def _words(one: Stored) -> str:
    t = one.trajectory
    said = [t.task, t.detail, *(m.content for m in t.opening)]
    said += [text for turn in t.turns for text in (turn.text, turn.feedback)]
    return "\n".join(said).lower()


CASES: list[tuple[Fields, Callable[[Stored], bool]]] = [
    ({"phase": "train"}, lambda s: s.phase == "train"),
    ({"env": "function"}, lambda s: s.trajectory.env == "function"),
    ({"end": "user_error"}, lambda s: s.trajectory.end is End.USER_ERROR),
    ({"fate": "trained"}, lambda s: s.fate is Fate.TRAINED),
    ({"reward-min": "0.5"}, lambda s: _counts(s) and s.trajectory.reward >= 0.5),
    (
        {"reward-min": "-0.2", "reward-max": "0.1"},
        lambda s: _counts(s) and -0.2 <= s.trajectory.reward <= 0.1,
    ),
    ({"turns-min": "2", "turns-max": "3"}, lambda s: 2 <= len(s.trajectory.turns) <= 3),
    ({"turns-max": "0"}, lambda s: not s.trajectory.turns),
    (
        {"version-min": "3", "version-max": "4"},
        lambda s: bool(v := _versions(s)) and max(v) >= 3 and min(v) <= 4,
    ),
    (
        {"staleness-min": "2"},
        lambda s: s.fate is Fate.TRAINED and s.trajectory.key.group % 2 == 1,
    ),
    ({"q": "EMBER"}, lambda s: "ember" in _words(s)),
    ({"q": "it broke"}, lambda s: "it broke" in _words(s)),
    ({"q": "not dove, go"}, lambda s: "not dove, go" in _words(s)),
    ({"q": "nowhere to be found"}, lambda _: False),
    (
        {"phase": "train", "end": "done", "q": "birch", "turns-min": "2"},
        lambda s: s.phase == "train" and s.trajectory.end is End.DONE
        and "birch" in _words(s) and len(s.trajectory.turns) >= 2,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "wanted"),
    CASES,
    ids=[",".join(f"{key}={value}" for key, value in fields.items()) for fields, _ in CASES],
)
def test_a_filter_finds_exactly_those_it_names(
    report: Report, stored: dict[str, Stored], fields: Fields, wanted: Callable[[Stored], bool]
) -> None:
    expected = [name for name, each in stored.items() if wanted(each)]
    assert len(expected) < len(stored)
    for name, value in fields.items():
        field = report.page.locator(f"[name='{name}']")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    report.settle()
    assert report.listed() == expected
    if not expected:
        assert report.page.inner_text("#page").startswith("None.")
    # The address says the same to whoever is sent it, and Clear undoes it.
    report.open(Path(report.ask("decodeURI(location.pathname)")), report.ask("location.hash"))
    assert report.listed() == expected
    report.page.click("#clear")
    report.settle()
    assert len(report.listed()) == len(stored)


@pytest.mark.parametrize("down", [False, True])
def test_sorting_keeps_equals_in_order_and_blanks_last(
    report: Report, stored: dict[str, Stored], down: bool
) -> None:
    report.page.select_option("#sort", "reward")
    if down:
        report.page.click("#direction")
    report.settle()
    sign = -1 if down else 1
    expected = sorted(
        stored,
        key=lambda name: (
            not _counts(stored[name]),
            sign * stored[name].trajectory.reward if _counts(stored[name]) else 0,
        ),
    )
    assert report.listed() == expected


def test_a_bar_of_the_histogram_takes_its_range(report: Report) -> None:
    before = len(report.listed())
    report.page.eval_on_selector_all(
        ".bins i", "bars => bars.find(b => b.style.getPropertyValue('--all') > 0).click()"
    )
    report.settle()
    rewards = (
        report.page.input_value("[name='reward-min']"),
        report.page.input_value("[name='reward-max']"),
    )
    assert float(rewards[0]) < float(rewards[1])
    assert 0 < len(report.listed()) < before


# ---------------------------------------------------------------- one dialogue


@pytest.mark.parametrize("name", ["train:4/1", "train:7/2", "train:10/3", "eval/trained:3/0"])
def test_a_dialogue_is_shown_as_it_was_stored(
    report: Report, run: Path, stored: dict[str, Stored], name: str
) -> None:
    report.open(run / "report.html", f"#dialogue={name}")
    assert report.opened() == name
    one = stored[name].trajectory
    shown = report.page.eval_on_selector_all(
        "#reading li[data-turn]",
        """turns => turns.map(t => ({
          said: t.querySelector('.bubble.agent .text').textContent,
          back: t.querySelector('.bubble.user .text').textContent,
          reward: t.querySelector('.reward').lastChild.textContent,
          parts: t.querySelector('.parts').textContent}))""",
    )
    assert shown == [
        {
            "said": turn.text,
            "back": turn.feedback,
            "reward": signed(turn.reward),
            "parts": ", ".join(f"{part} {signed(value)}" for part, value in turn.parts.items()),
        }
        for turn in one.turns
    ]
    spans = report.page.eval_on_selector_all(
        "#reading .column",
        "cs => cs.map(c => [...c.querySelectorAll('.ribbon i')].map(i => [+i.textContent, +i.style.flexGrow]))",
    )
    assert spans == _spans(one)
    score = figure(one.reward) if _counts(stored[name]) else DASH
    assert report.page.inner_text("#reading .score") == f"reward {score}"
    for word in (one.task, one.env, one.end.value.replace("_", " "), one.detail):
        assert word in report.page.inner_text("#reading header")
    report.page.click("text=The task's data")
    report.until("document.querySelector('#reading > .raw .text') !== null")
    assert f'"secret": "{WORDS[one.key.group % 7]}"' in report.page.inner_text("#reading")
    # Weights that spoke in training are gone: nothing is offered that would be refused.
    commands = [] if name.startswith("train") else [f"duologue replay {run} {name}"]
    assert report.page.locator(".replay code").all_inner_texts() == commands


def _spans(one: Trajectory) -> list[list[list[int]]]:
    """For each turn, (version, sampled tokens) in order: straight from the stored spans."""
    if one.tokens is None:
        return [[] for _ in one.turns]
    of_token = {i: s.version for s in one.tokens.spans for i in range(s.start, s.end)}
    turns: list[list[list[int]]] = []
    for start, end in zip(one.tokens.turns, [*one.tokens.turns, len(one.tokens)][1:], strict=True):
        runs: list[list[int]] = []
        for place in range(start, end):
            if one.tokens.mask[place]:
                if runs and runs[-1][0] == of_token[place]:
                    runs[-1][1] += 1
                else:
                    runs.append([of_token[place], 1])
        turns.append(runs)
    return turns


def test_tokens_are_coloured_by_how_likely_they_were(
    report: Report, run: Path, stored: dict[str, Stored]
) -> None:
    report.open(run / "report.html", "#dialogue=train:4/1")
    report.page.keyboard.press("t")
    shown = report.page.eval_on_selector_all(
        "#reading .tokens .token", "ts => ts.map(t => [t.textContent, t.className, t.title])"
    )
    tokens = stored["train:4/1"].trajectory.tokens
    assert tokens is not None
    sampled = [i for i in range(len(tokens)) if tokens.mask[i]]
    assert [text for text, _, _ in shown] == [f"⟨{tokens.ids_array()[i]}⟩" for i in sampled]
    bounds = (-0.10536, -0.69315, -2.30259, -4.60517)  # ln of 0.9, 0.5, 0.1, 0.01
    levels = [sum(tokens.logps_array()[i] < bound for bound in bounds) for i in sampled]
    assert [kind for _, kind, _ in shown] == [f"token level-{level}" for level in levels]
    assert len(set(levels)) == 5
    assert "tokens are shown by number: no tokenizer" in report.page.inner_text("#browser")


def test_the_group_stands_beside_it_with_its_advantages(
    report: Report, run: Path, stored: dict[str, Stored]
) -> None:
    report.open(run / "report.html", "#dialogue=train:4/1")
    rows = report.page.eval_on_selector_all(
        ".companions tbody tr:not(.part)",
        "rows => rows.map(r => [...r.children].slice(0, 4).map(c => c.textContent))",
    )
    group = [f"train:4/{k}" for k in range(SAMPLES)]
    trained = [name for name in group if stored[name].fate is Fate.TRAINED]
    worth = dict(
        zip(trained, shape([stored[name].trajectory for name in trained], Shaping()), strict=True)
    )
    assert [row[0].removesuffix(" (this one)") for row in rows[:SAMPLES]] == group
    assert [row[3] for row in rows[:SAMPLES]] == [
        signed(worth[name][0]) if worth.get(name) else DASH for name in group
    ]
    same_task = {
        name
        for name, each in stored.items()
        if each.trajectory.task == "task-4" and name not in group
    }
    assert {row[0] for row in rows[SAMPLES:]} == same_task
    report.page.click(".companions tr:has-text('train:4/2') button")
    report.settle()
    titles = report.page.locator(".talks h4").all_inner_texts()
    assert [title.partition(": ")[0] for title in titles] == ["train:4/1", "train:4/2"]
    assert "beside=train:4/2" in report.ask("location.hash")


def test_an_address_that_names_nothing_says_so(report: Report, run: Path) -> None:
    report.open(run / "report.html", "#dialogue=train:999/0")
    assert "no dialogue train:999/0" in report.page.inner_text("#reading")


def test_back_returns_to_the_dialogue_before(report: Report) -> None:
    report.page.click("#rows a >> nth=3")
    report.settle()
    report.page.click("#rows a >> nth=5")
    report.settle()
    assert report.opened() == "eval/trained:1/1"
    report.page.go_back()
    report.settle()
    assert report.opened() == "eval/trained:0/3"


# ---------------------------------------------------------------- the keyboard


def test_keys_walk_the_list_and_reach_the_search(report: Report, stored: dict[str, Stored]) -> None:
    order = list(stored)
    for key, at in [("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)]:
        report.page.keyboard.press(key)
        report.settle()
        assert report.opened() == order[at]
    for _ in range(51):  # over the end of the list's first page
        report.page.keyboard.press("j")
        report.page.wait_for_timeout(30)
    report.settle()
    assert report.opened() == order[51]
    assert report.page.get_attribute("#rows tr.open", "data-name") == order[51]
    assert f"dialogue={order[51]}" in report.ask("location.hash")
    report.page.keyboard.press("/")
    assert report.ask("document.activeElement.id") == "find"
    report.page.keyboard.type("jk/t")  # words now, not commands
    assert report.page.input_value("#find") == "jk/t"
    report.page.keyboard.press("Escape")
    assert report.ask("document.activeElement.id") != "find"
    report.settle()
    assert "q=jk/t" in report.ask("location.hash")


def test_everything_can_be_reached_with_tab_and_shows_it(report: Report) -> None:
    report.page.evaluate("document.getElementById('find').focus()")
    reached: set[str] = set()
    for _ in range(40):
        report.page.keyboard.press("Tab")
        where = report.ask(
            """(() => { const e = document.activeElement; return [
                 e.id || e.name || e.tagName, getComputedStyle(e).outlineStyle] })()"""
        )
        reached.add(where[0])
        assert where[1] != "none", where
    assert {"by-phase", "reward-min", "sort", "direction", "clear", "A"} <= reached


# ---------------------------------------------------------------- hostile texts

PAYLOADS = (
    '</script><img src=x onerror="window.pwned=1"><script>window.pwned=2</script>',
    "<svg onload=window.pwned=3>",
    "javascript:window.pwned=4",
    "\u202egnp.exe \u2066isolated",
    "a lone \ud800 surrogate",
    "nul \x00, escape \x1b[31m, \uffff",
    "</textarea></title><style>*{display:none}</style>",
    "${window.pwned=5} {{constructor.constructor('window.pwned=6')()}}",
)


def _hostile(text: str, group: int) -> Trajectory:
    turn = Turn(
        text=text, feedback=text, actions=(Action(text, text),), parts={text: 1.0}, reward=1
    )
    return Trajectory(
        key=Key(group, 0), task=text, env=text, split=text, end=End.JUDGE_ERROR, detail=text,
        opening=(Message("system", text), Message("user", text)), turns=(turn,),
        tokens=pack_tokens([1], [1], [-0.5], [0], [Span(0, 1, 0)]),
    )  # fmt: skip


def test_nothing_that_was_said_can_act(_wide: Report, tmp_path: Path) -> None:
    archive = Archive({"</script>": len(PAYLOADS)}, spell=lambda _: [PAYLOADS[0]], replay="x")
    for group, text in enumerate(PAYLOADS):
        task = Task(env=text, id=text, data={text: text})
        archive.add("</script>", group, task, [Sample(trajectory=_hostile(text, group))])
    file = write(Contents(title="t", archive=archive), tmp_path / "report.html")
    _wide.complaints.clear()
    for group, text in enumerate(PAYLOADS):
        _wide.open(
            file, f"#dialogue={quote(f'</script>:{group}/0')}&q={quote(text, errors='replace')}"
        )
        _wide.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        _wide.page.keyboard.press("t")
        _wide.settle()
        shown = _wide.page.eval_on_selector(
            ".bubble.user .text", "e => [e.textContent, getComputedStyle(e).unicodeBidi]"
        )
        # Over the wire a lone surrogate is replaced; the page itself keeps it.
        assert shown[0].encode("utf-8", "replace") == text.encode("utf-8", "replace") or (
            "\ud800" in text and "surrogate" in shown[0]
        )
        assert shown[1] == "isolate"
        assert _wide.ask("window.pwned") is None
        assert _wide.ask("document.querySelectorAll('img, svg[onload], iframe').length") == 0
        assert _wide.ask("document.querySelectorAll('#browser style, #browser script').length") == 0
    assert _wide.complaints == []
    assert {url.partition("#")[0] for url in _wide.requests} == {file.as_uri()}


def test_a_huge_single_line_is_folded_and_pushes_nothing_aside(
    _wide: Report, tmp_path: Path
) -> None:
    huge = "x" * 2_000_000
    archive = Archive({"rollout": 1})
    turn = Turn(text=huge, feedback=huge, reward=1.0)
    one = Trajectory(
        key=Key(0, 0), task="t" * 5000, env="e", split="s", end=End.DONE, turns=(turn,)
    )
    archive.add("rollout", 0, None, [Sample(trajectory=one)])
    _wide.open(write(Contents(title="t", archive=archive), tmp_path / "report.html"))
    assert len(_wide.page.inner_text(".bubble.agent")) < 1000
    _wide.page.click(".bubble.agent summary")
    assert len(_wide.page.text_content(".bubble.agent details .text") or "") == len(huge)
    assert _wide.ask("document.documentElement.scrollWidth <= innerWidth")
    assert _wide.complaints == []


# ---------------------------------------------------------------- for every reader


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_keeps_a_reader_out(
    chromium: Chromium, run: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    with chromium.open(width=width, scheme=scheme) as report:
        for fragment in (
            "#q=birch&phase=train",
            "#dialogue=train:4/1&beside=train:4/3&q=birch",
            "#dialogue=train:999/9",
        ):
            report.open(run / "report.html", fragment)
            report.page.keyboard.press("t")
            report.settle()
            assert report.barriers() == []
            assert report.ask("document.documentElement.scrollWidth") <= width
        assert report.complaints == []


def test_on_a_phone_a_dialogue_takes_the_place_of_the_list(chromium: Chromium, run: Path) -> None:
    with chromium.open(width=390, height=800) as report:
        report.open(run / "report.html")
        assert not report.page.is_visible("#reading")
        report.page.click("#rows tr >> nth=2")
        report.settle()
        assert report.opened() == "eval/trained:0/2"
        assert report.page.is_visible("#reading")
        assert not report.page.is_visible("#rows")
        report.page.click("text=Back to the list")
        assert report.page.is_visible("#rows")
        assert report.complaints == []


def test_a_print_has_the_dialogue_and_no_controls(report: Report) -> None:
    report.page.emulate_media(media="print")
    try:
        assert report.page.is_visible("#reading")
        for control in ("#filters", ".found", "nav", ".replay button"):
            assert not report.page.is_visible(control), control
    finally:
        report.page.emulate_media(media="screen")


# ---------------------------------------------------------------- many


def test_ten_thousand_dialogues_stay_quick(
    _wide: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 10_000
    archive = Archive({"train": count})
    began = time.process_time()
    for group in range(count // SAMPLES):
        members = [_trajectory("train", group, k) for k in range(SAMPLES)]
        archive.add("train", group, None, [Sample(trajectory=each) for each in members])
    file = write(Contents(title="many", archive=archive), tmp_path / "report.html")
    built = time.process_time() - began
    _wide.complaints.clear()
    laps: dict[str, float] = {}

    def lap(what: str, act: Callable[[], object], until: str) -> None:
        start = time.perf_counter()
        act()
        _wide.until(until)
        laps[what] = time.perf_counter() - start

    found = "document.getElementById('found').textContent"
    lap("load", lambda: _wide.page.goto(file.as_uri()), f"{found} === '10,000 dialogues'")
    lap(
        "filter",
        lambda: _wide.page.select_option("#by-end", "done"),
        f"{found} === '2,000 of 10,000 dialogues'",
    )
    _wide.page.click("#clear")
    lap(
        "first search",
        lambda: _wide.page.fill("#find", "Dialogue 4321, turn 1."),
        f"{found} === '1 of 10,000 dialogues'",
    )
    lap(
        "next search",
        lambda: _wide.page.fill("#find", "no such words"),
        f"{found} === '0 of 10,000 dialogues'",
    )
    with capsys.disabled():
        times = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in laps.items())
        size = file.stat().st_size / 2**20
        print(f"\n10,000 dialogues: {size:.1f} MiB, built in {built:.1f} s of CPU; {times}")
    assert _wide.complaints == []
    # Ten times what this takes on two slow cores: a bound for what is quadratic, not a benchmark.
    assert max(laps.values()) < 30
