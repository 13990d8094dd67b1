"""`duologue doctor` against planted defects: each is named, and a healthy model passes."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from sick_server import Illness, serving

from duologue import show
from duologue.agents.models._doctor import Diagnosis, Finding
from duologue.agents.models.local._folder import init_model, load_tokenizer
from duologue.agents.models.text._template import Template, TemplateRefused, grow, load_template
from duologue.agents.models.text._tokenizer import chat_template
from duologue.cli import main
from duologue.config import load_config
from duologue.engine import UsageError
from duologue.jobs._doctor import doctor
from duologue.progress import Bar

SIZES = {"vocab": 300, "hidden": 32, "heads": 2, "head_dim": 16, "intermediate": 48}
CORPUS = ["<|im_start|>user\nWhat about the budget?<|im_end|>\n"] * 2
SAYS = "{{- '<|im_start|>assistant\\n' + content }}"
PROMPT = chat_template()[chat_template().index("{%- if add_generation_prompt %}") :]


class Quiet:
    """A reporter that nobody reads."""

    def bar(self, label: str, total: int | None) -> Bar:
        raise AssertionError("no bars here")

    def say(self, text: str) -> None:
        pass


ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""For tests whose difference is in what is examined, not in how."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Generator[None]:
    """For a model this small, more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    init_model(folder, corpus=CORPUS, seed=0, **SIZES)
    return folder


@pytest.fixture
def altered(tiny: Path, tmp_path: Path) -> Callable[[Callable[[str], str]], Path]:
    """Makes a copy of the folder with another chat template."""

    def make(change: Callable[[str], str]) -> Path:
        folder = tmp_path / "altered"
        shutil.copytree(tiny, folder)
        file = folder / "tokenizer_config.json"
        settings: dict[str, Any] = json.loads(file.read_text())
        old = settings["chat_template"]
        settings["chat_template"] = change(old)
        assert settings["chat_template"] != old
        file.write_text(json.dumps(settings))
        return folder

    return make


def strip(template: str) -> str:
    """As many templates do: what was thought in past turns goes."""
    return template.replace(
        SAYS, "{{- '<|im_start|>assistant\\n' + content.split('</think>')[-1].lstrip('\\n') }}"
    )


async def diagnose(
    spec: str, *, tokenizer: Path | None = None, idle_s: float = 0.05, context: int = 1024
) -> Diagnosis:
    given = {"model.context": context, "vllm.tokenizer": str(tokenizer or "")}
    config = load_config(None, given, ())
    return await doctor(config, spec, turns=4, idle_s=idle_s, reporter=Quiet())


def failed(diagnosis: Diagnosis) -> dict[str, Finding]:
    assert all(f.advice and f.seen for f in diagnosis.findings if f.status == "failed")
    return {f.check: f for f in diagnosis.findings if f.status == "failed"}


def status(diagnosis: Diagnosis, check: str) -> str:
    (found,) = (f for f in diagnosis.findings if f.check == check)
    return f"{found.status}: {found.seen}"


@pytest.mark.anyio
async def test_a_healthy_server_passes_every_check_and_is_told_nothing(tiny: Path) -> None:
    with serving(tiny, Illness()) as (url, ward):
        diagnosis = await diagnose(f"vllm:{url}")
    assert {f.check: f.status for f in diagnosis.findings} == dict.fromkeys(
        (
            "answers", "idle connection", "token route", "weight updates", "prefix cache",
            "context", "same tokenizer", "tool calls", "control tokens", "round trip",
            "generation prompt", "template, thinking", "template, no thinking",
            "log-probabilities", "sampled distribution",
        ),
        "passed",
    )  # fmt: skip
    assert diagnosis.passed
    assert diagnosis.model == f"vllm:{url}"
    assert ward.told == []


@pytest.mark.anyio
async def test_a_healthy_folder_passes_every_check_that_needs_no_server(tiny: Path) -> None:
    diagnosis = await diagnose(f"local:{tiny}")
    assert diagnosis.passed
    skipped = {f.check for f in diagnosis.findings if f.status == "skipped"}
    assert skipped == {"idle connection", "flags", "same tokenizer", "tool calls"}


# The six of the bar, and their relatives.


@pytest.mark.anyio
async def test_a_template_that_strips_past_thinking_is_named_with_its_turns_and_its_cost(
    altered: Callable[[Callable[[str], str]], Path],
) -> None:
    found = failed(await diagnose(f"local:{altered(strip)}"))
    assert set(found) == {"template, thinking"}
    seen = found["template, thinking"].seen
    assert "forks at every turn from 2 to 4: it strips the thinking of past turns" in seen
    assert re.search(r"\d+ tokens read in a dialogue, \d+ when appending \(\+\d+, x1\.\d\)", seen)


@ONE_LOOP
@pytest.mark.anyio
@pytest.mark.parametrize("where", ["everywhere", "from turn 2 on", "in another role"])
async def test_a_missing_generation_prompt_is_named(
    altered: Callable[[Callable[[str], str]], Path], where: str
) -> None:
    def change(template: str) -> str:
        if where == "everywhere":
            return template.replace(PROMPT, "")
        if where == "from turn 2 on":
            return template.replace(
                "if add_generation_prompt", "if add_generation_prompt and messages | length < 3"
            )
        return template.replace(PROMPT, PROMPT.replace("assistant", "model"))

    found = failed(await diagnose(f"local:{altered(change)}"))
    seen = found["generation prompt"].seen
    if where == "in another role":
        assert "the prompt ends in" in seen and "model" in seen
    else:
        turn = 2 if where == "from turn 2 on" else 1
        assert f"at turn {turn} add_generation_prompt adds nothing" in seen


@pytest.mark.anyio
async def test_raw_log_probabilities_are_named_with_the_flag(tiny: Path) -> None:
    with serving(tiny, Illness(raw=True)) as (url, _):
        found = failed(await diagnose(f"vllm:{url}"))
    assert set(found) == {"sampled distribution"}
    assert found["sampled distribution"].seen.startswith("raw log-probabilities")
    assert "--logprobs-mode processed_logprobs" in found["sampled distribution"].advice


@pytest.mark.anyio
async def test_a_wrong_tokenizer_is_named(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    init_model(other, corpus=["budget trip and hotel, days"] * 3, seed=0, **SIZES)
    with serving(tiny, Illness()) as (url, _):
        found = failed(await diagnose(f"vllm:{url}", tokenizer=other))
    assert "wrong tokenizer" in found["same tokenizer"].seen
    assert str(other) in found["same tokenizer"].seen
    assert "vllm.tokenizer" in found["same tokenizer"].advice


@ONE_LOOP
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("parser", "lost"),
    [("eats", "'And one more thing.', 'That is all.'"), ("calls", "'How many days?'")],
)
async def test_a_tool_parser_that_eats_text_is_named_with_the_text(
    tiny: Path, parser: str, lost: str
) -> None:
    with serving(tiny, Illness(parser=parser)) as (url, _):
        found = failed(await diagnose(f"vllm:{url}"))
    assert set(found) == {"tool calls"}
    assert f"the tool parser eats text: {lost} was sampled" in found["tool calls"].seen


@pytest.mark.anyio
async def test_a_short_keep_alive_is_named_with_its_length(tiny: Path) -> None:
    with serving(tiny, Illness(keep_alive_s=0.3)) as (url, _):
        found = failed(await diagnose(f"vllm:{url}", idle_s=5.0))
    assert set(found) == {"idle connection"}
    assert "idle for 0.3 s" in found["idle connection"].seen
    assert "VLLM_HTTP_TIMEOUT_KEEP_ALIVE" in found["idle connection"].advice


# What else may be wrong.


@ONE_LOOP
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("illness", "check", "flag"),
    [
        (Illness(closed=("/inference/v1/generate",)), "token route", "--enable-scale-out"),
        (Illness(closed=("/is_paused",)), "weight updates", "VLLM_SERVER_DEV_MODE=1"),
        (Illness(transfer=False), "weight updates", "--weight-transfer-config"),
        (Illness(prefix_cache=False), "prefix cache", "--enable-prefix-caching"),
        (Illness(context=512), "context", "--max-model-len 1024"),
        (Illness(weights=0.05), "log-probabilities", "not the folder's"),
        (Illness(mute=True), "log-probabilities", "log-probabilities"),
        (Illness(garbled=("/tokenize",)), "same tokenizer", "log"),
    ],
)
async def test_a_missing_flag_is_named(tiny: Path, illness: Illness, check: str, flag: str) -> None:
    with serving(tiny, illness) as (url, _):
        found = failed(await diagnose(f"vllm:{url}"))
    assert flag in found[check].advice


@ONE_LOOP
@pytest.mark.anyio
async def test_what_a_server_does_not_tell_is_skipped(tiny: Path) -> None:
    closed = ("/tokenize", "/metrics", "/server_info")
    with serving(tiny, Illness(closed=closed, parser="none")) as (url, _):
        diagnosis = await diagnose(f"vllm:{url}")
    assert diagnosis.passed
    skipped = {f.check for f in diagnosis.findings if f.status == "skipped"}
    assert skipped == {"same tokenizer", "prefix cache", "tool calls"}


@ONE_LOOP
@pytest.mark.anyio
async def test_without_the_served_folder_the_server_is_examined_alone(
    tiny: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    shutil.copytree(tiny, gone)
    with serving(gone, Illness()) as (url, _):
        shutil.rmtree(gone)
        diagnosis = await diagnose(f"vllm:{url}")
    assert diagnosis.passed
    assert "which is no folder here; set vllm.tokenizer" in status(diagnosis, "template")


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_one_failure(tiny: Path) -> None:
    with serving(tiny, Illness()) as (url, _):
        pass
    diagnosis = await diagnose(f"vllm:{url}", tokenizer=tiny)
    assert set(failed(diagnosis)) == {"answers"}
    assert status(diagnosis, "round trip").startswith("passed")


@ONE_LOOP
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("scripted:expert", "no model to examine"),
        ("local:", "no model to examine"),
        ("local:/nowhere", "there is no model folder"),
        ("vllm:http://one,http://two", "one server at a time"),
    ],
)
async def test_what_cannot_be_examined_is_refused(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        await diagnose(spec)


# Folders.


@ONE_LOOP
@pytest.mark.anyio
async def test_a_folder_without_a_template_or_with_a_broken_one_is_named(
    altered: Callable[[Callable[[str], str]], Path],
) -> None:
    folder = altered(lambda template: template + "{% if %}")
    assert (
        "it is no template" in failed(await diagnose(f"local:{folder}"))["generation prompt"].seen
    )
    refusing = "{{ raise_exception('roles must alternate') }}"
    (folder / "chat_template.jinja").write_text(refusing)
    assert "alternate" in failed(await diagnose(f"local:{folder}"))["template, thinking"].seen
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "no chat template" in failed(await diagnose(f"local:{folder}"))["generation prompt"].seen


@ONE_LOOP
@pytest.mark.anyio
async def test_a_tokenizer_that_loses_text_or_control_tokens_is_named(
    tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lossy"
    shutil.copytree(tiny, folder)
    file = folder / "tokenizer.json"
    text = file.read_text()
    settings: dict[str, Any] = json.loads(text)
    settings["normalizer"] = {"type": "Lowercase"}
    file.write_text(json.dumps(settings))
    assert "change when encoded" in failed(await diagnose(f"local:{folder}"))["round trip"].seen
    file.write_text(text.replace("<|im_start|>", "<|other|>"))
    assert "no token of its own" in failed(await diagnose(f"local:{folder}"))["control tokens"].seen


def test_a_growing_conversation_is_counted_in_tokens(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    whole = grow(Template(chat_template(), {}), encode, turns=5, role="user", thinking=True)
    assert (whole.forks, whole.read) == ((), whole.appended)
    cut = grow(Template(strip(chat_template()), {}), encode, turns=5, role="user", thinking=True)
    assert cut.forks == (2, 3, 4, 5)
    assert cut.stripped
    assert cut.appended == whole.appended
    # What is read again is each reply without its thinking.
    assert cut.read - cut.appended > 4 * 20
    thinks_not = grow(
        Template(strip(chat_template()), {}), encode, turns=5, role="user", thinking=False
    )
    assert thinks_not.forks == ()


def test_an_empty_thought_that_only_the_prompt_has_is_a_fork(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    source = chat_template() + (
        "{%- if add_generation_prompt and enable_thinking is false %}"
        "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    )
    grown = grow(Template(source, {}), encode, turns=3, role="tool", thinking=False)
    assert grown.forks == (2, 3)
    assert grown.before.startswith("<think>")


def test_templates_are_found_where_servers_look(tiny: Path, tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "<hi>"}]
    listed = [{"name": "default", "template": "{{ eos_token }}{{ bos_token }}"}]
    settings = {"chat_template": listed, "eos_token": {"content": "E"}, "bos_token": "B"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    found = load_template(tmp_path)
    assert found is not None
    assert found.render(chat, prompt=True) == "EB"
    file = tmp_path / "chat_template.jinja"
    file.write_text("{% generation %}{{ messages | tojson }}{% endgeneration %}")
    found = load_template(tmp_path)
    assert found is not None
    assert found.render(chat, prompt=False) == '[{"role": "user", "content": "<hi>"}]'
    assert load_template(tiny.parent) is None


def test_a_template_cannot_reach_out() -> None:
    escape = Template("{{ ''.__class__.__mro__[1].__subclasses__() }}", {})
    with pytest.raises(TemplateRefused, match="SecurityError"):
        escape.render([], prompt=False)


# The command.


def test_the_command_prints_a_table_and_exits_with_1_on_a_defect(
    tiny: Path,
    altered: Callable[[Callable[[str], str]], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["duologue", "doctor", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().out

    code, out = run(f"local:{tiny}", "--turns", "3", "--json")
    assert code in (0, None)
    assert {f["status"] for f in json.loads(out)["findings"]} == {"passed", "skipped"}
    code, out = run(f"local:{altered(strip)}", "--turns", "3")
    assert code == 1
    assert "it strips the thinking" in " ".join(out.split())
    assert out.endswith("is not well\n")
    code, _ = run(f"local:{tiny}", "--turns", "1")
    assert code == 2


def test_a_diagnosis_is_shown_with_what_to_do() -> None:
    finding = Finding(check="context", status="failed", seen="too short", advice="make it longer")
    text = show.diagnosis(Diagnosis(model="local:m", findings=(finding,)))
    assert "too short" in text and "make it longer" in text
