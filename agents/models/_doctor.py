"""What may be wrong with a model before thousands of dialogues show it: `duologue doctor`.

A check says what it saw, or raises `Defect` with what was seen and what to do, or `Unknown` with
why there is nothing to see. Nothing here changes a folder or a server.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import msgspec
import torch
from anyio import to_thread
from msgspec import Struct
from tokenizers import Tokenizer

from ...engine import ModelError, UsageError
from ._model import Request, Sampling
from .local._attention import PackedAttention
from .local._folder import load_model, load_tokenizer
from .local._head import token_log_probs
from .local._model import LocalModel, open_local
from .local._qwen3 import Qwen3
from .text._template import Growth, Template, TemplateRefused, grow, load_template, missing_prompt
from .text._tokenizer import END_OF_TURN, START_OF_TURN

DEADLINE_S = 120.0
"""How long a check may take before it counts as a hang."""

HEAT = 0.7
"""The temperature at which log-probabilities of two distributions are told apart."""

TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
"""How far log-probabilities may be from our float32 ones, by the dtype they were computed in.
vLLM's are within 1e-5 in float32; in bfloat16 they were off by up to 0.08."""

TEXTS = (
    "Good morning! What's the budget, 300 or 3,000?",
    " leading and trailing spaces  ",
    "line\n\nbreaks\r\nand\ttabs\n",
    "naïve café, Straße, Ελλάδα, 東京, مرحبا",
    "👩\u200d👩\u200d👧 and 🏳️\u200d🌈, e\u0301 beside \u00e9",
    '<tool_call>\n{"name": "f", "arguments": {"a": "\\"b\\" \\u003c"}}\n</tool_call>',
    "<think>\nhm\n</think>\n\nyes",
    "a" * 40 + " 1234567890" * 3,
)
"""Texts that tokenizers differ on, and that some do not give back."""

_PROMPTS = 4
_LENGTH = 24


class Finding(Struct, frozen=True, kw_only=True):
    """What one check found, and what to do about it."""

    check: str
    status: Literal["passed", "failed", "skipped"]
    seen: str
    advice: str = ""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """The report on one model."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """No check failed. A skipped one says why."""
        return all(finding.status != "failed" for finding in self.findings)


class Defect(Exception):
    """Something is wrong with the model."""

    def __init__(self, seen: str, advice: str) -> None:
        super().__init__(seen)
        self.advice = advice


class Unknown(Exception):
    """There is nothing to check."""


Check = Callable[[], Awaitable[str]]

Sample = Callable[[list[int], float, int], Awaitable[tuple[Sequence[int], Sequence[float]]]]
"""Prompt, temperature and number of tokens to the sampled tokens and their log-probabilities."""


async def look(name: str, check: Check, advice: str = "look into the server's log") -> Finding:
    """Run one check; whatever it comes to is a finding.

    advice: what to try when the model does not answer as it should at all.
    """
    finding = partial(Finding, check=name)
    try:
        with anyio.fail_after(DEADLINE_S):
            return finding(status="passed", seen=await check())
    except Defect as defect:
        return finding(status="failed", seen=str(defect), advice=defect.advice)
    except Unknown as unknown:
        return finding(status="skipped", seen=str(unknown))
    except (ModelError, UsageError) as error:
        return finding(status="failed", seen=str(error), advice=advice)
    except msgspec.DecodeError as error:
        return finding(status="failed", seen=f"an answer without sense: {error}", advice=advice)
    except TimeoutError:
        return finding(status="failed", seen=f"no end after {DEADLINE_S:g} s", advice=advice)


async def examine_local(folder: Path, *, turns: int, device: str | None) -> Diagnosis:
    """Examine the model folder as `local:PATH` samples it."""
    tokenizer = await to_thread.run_sync(load_tokenizer, folder)
    async with open_local(folder, device=device) as model:
        sample = partial(_sample_local, model)
        findings = [
            await look("answers", partial(_answers, sample)),
            *await examine_folder(folder, tokenizer, turns),
            *await examine_log_probs(folder, tokenizer, sample, "float32"),
        ]
    for name in ("idle connection", "flags", "same tokenizer", "tool calls"):
        findings.append(await look(name, _in_process))
    return Diagnosis(model=f"local:{folder}", findings=tuple(findings))


async def _answers(sample: Sample) -> str:
    began = anyio.current_time()
    await sample([0], 1.0, 1)
    return f"one token in {(anyio.current_time() - began) * 1000:.0f} ms"


async def _sample_local(
    model: LocalModel, prompt: list[int], temperature: float, count: int
) -> tuple[Sequence[int], Sequence[float]]:
    sampling = Sampling(temperature=temperature, max_tokens=count)
    model.open("doctor")
    try:
        drawn = await model.generate(Request(session="doctor", tokens=prompt, sampling=sampling))
    finally:
        model.close("doctor")
    return drawn.ids, drawn.logps


async def _in_process() -> str:
    raise Unknown("the model is sampled in this process; there is no server")


# What the folder alone tells.


async def examine_folder(folder: Path, tokenizer: Tokenizer, turns: int) -> list[Finding]:
    """Check the tokenizer and the chat template of a model folder."""
    checks: dict[str, Callable[[], str]] = {
        "control tokens": partial(_control_tokens, folder, tokenizer),
        "round trip": partial(_round_trip, tokenizer),
        "generation prompt": partial(_generation_prompt, folder, turns),
        "template, thinking": partial(_growth, folder, tokenizer, turns, True),
        "template, no thinking": partial(_growth, folder, tokenizer, turns, False),
    }
    return [await look(name, partial(to_thread.run_sync, check)) for name, check in checks.items()]


def _control_tokens(folder: Path, tokenizer: Tokenizer) -> str:
    ids: list[int] = []
    for token in (START_OF_TURN, END_OF_TURN):
        found = tokenizer.encode(token, add_special_tokens=False).ids
        if len(found) != 1 or tokenizer.token_to_id(token) is None:
            raise Defect(
                f"{token} is no token of its own in {folder}",
                "use a model of the Qwen family, or another tokenizer.json",
            )
        ids += found
    file = folder / "config.json"
    if file.is_file():
        sizes = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        vocab, count = sizes.get("vocab_size", 0), tokenizer.get_vocab_size()
        if count > vocab:
            raise Defect(
                f"the tokenizer has {count} tokens and the model embeds {vocab}",
                "the tokenizer is another model's: copy the right tokenizer.json",
            )
    return f"{START_OF_TURN} is {ids[0]}, {END_OF_TURN} is {ids[1]}"


def _round_trip(tokenizer: Tokenizer) -> str:
    lost = [
        text
        for text in TEXTS
        if tokenizer.decode(encode(tokenizer, text), skip_special_tokens=False) != text
    ]
    if lost:
        raise Defect(
            f"{len(lost)} of {len(TEXTS)} texts change when encoded and decoded: {lost[0]!r}",
            "use a byte-level tokenizer without a normaliser; what was said gets lost in this one",
        )
    return f"{len(TEXTS)} texts come back as they were"


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids that servers make of a rendered conversation: control tokens are read as such."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _template(folder: Path) -> Template:
    try:
        template = load_template(folder)
    except TemplateRefused as error:
        raise Defect(str(error), "repair the chat template of the folder") from error
    if template is None:
        raise Defect(
            f"{folder} has no chat template",
            "add chat_template to tokenizer_config.json; chat routes need it, local: and vllm: "
            "here do without",
        )
    return template


def _generation_prompt(folder: Path, turns: int) -> str:
    template = _template(folder)
    for role in ("user", "tool"):
        try:
            wrong = missing_prompt(template, turns=turns, role=role)
        except TemplateRefused as error:
            raise _refused(role, error) from error
        if wrong:
            raise Defect(
                f"{wrong} (after a message of role {role!r})",
                "end the template with {% if add_generation_prompt %} and the header of the "
                "assistant's turns; without it the model goes on as somebody else",
            )
    return f"there at each of {turns} turns"


def _refused(role: str, error: TemplateRefused) -> Defect:
    return Defect(
        f"the template refuses a conversation with messages of role {role!r}: {error}",
        "render by appending (local: and vllm: here do), or use another template",
    )


def _growth(folder: Path, tokenizer: Tokenizer, turns: int, thinking: bool) -> str:
    template = _template(folder)
    grown: dict[str, Growth] = {}
    for role in ("user", "tool"):
        try:
            grown[role] = grow(
                template, partial(encode, tokenizer), turns=turns, role=role, thinking=thinking
            )
        except TemplateRefused as error:
            raise _refused(role, error) from error
    forked = {role: growth for role, growth in grown.items() if growth.forks}
    if forked:
        first = next(iter(forked.values()))
        advice = "render by appending (local: and vllm: here do), or let each turn be a row"
        if first.stripped:
            advice += "; or use a template that keeps past thinking"
        raise Defect("; ".join(_fork(role, growth) for role, growth in forked.items()), advice)
    read = grown["tool"].read
    return f"{turns} turns only append; {read} tokens read in a dialogue"


def _fork(role: str, growth: Growth) -> str:
    where = f"turn {', '.join(map(str, growth.forks))}"
    if growth.forks == tuple(range(2, growth.turns + 1)):
        where = f"every turn from 2 to {growth.turns}"
    why = (
        "it strips the thinking of past turns"
        if growth.stripped
        else f"{growth.before!r} became {growth.after!r}"
    )
    extra = growth.read - growth.appended
    return (
        f"after {role} messages it forks at {where}: {why}; {growth.read} tokens read in a "
        f"dialogue, {growth.appended} when appending ({extra:+d}, x{growth.read / growth.appended:.1f})"
    )


# Log-probabilities.


async def examine_log_probs(
    folder: Path, tokenizer: Tokenizer, sample: Sample, dtype: str
) -> list[Finding]:
    """Compare log-probabilities with those of our own forward pass of the folder's weights.

    dtype: what the sampler computes in.
    """
    seen: list[_Apart] = []

    async def equal() -> str:
        model = await to_thread.run_sync(_reference, folder)
        prompts = _prompts(tokenizer, model)
        for temperature in (1.0, HEAT):
            seen.append(await _compare(model, prompts, sample, temperature))
        return _match(seen[0], dtype)

    async def processed() -> str:
        if len(seen) < 2:
            raise Unknown("there are no log-probabilities to compare")
        return _distribution(seen[0], seen[1], dtype)

    return [
        await look("log-probabilities", equal),
        await look("sampled distribution", processed),
    ]


class _Apart(Struct, frozen=True):
    """How far returned log-probabilities are from ours, at the temperature and without it."""

    tokens: int
    worst: float
    mean: float
    raw_worst: float
    raw_mean: float


def _reference(folder: Path) -> Qwen3:
    """Our own model with the folder's weights, in float32. Raises `Unknown` without them."""
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    # Twice the bytes of the usual bfloat16.
    if 2 * size > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"):
        raise Unknown(f"{size / 2**30:.0f} GiB of weights do not fit into this machine in float32")
    try:
        return load_model(folder)
    except UsageError as error:
        raise Unknown(f"the weights cannot be computed here: {error}") from error


def _prompts(tokenizer: Tokenizer, model: Qwen3) -> list[list[int]]:
    texts = [f"{START_OF_TURN}user\n{text}{END_OF_TURN}\n" for text in TEXTS[:_PROMPTS]]
    most, vocab = model.config.context - _LENGTH, model.config.vocab
    return [[i for i in encode(tokenizer, text) if i < vocab][:most] for text in texts]


async def _compare(
    model: Qwen3, prompts: list[list[int]], sample: Sample, temperature: float
) -> _Apart:
    ours: list[float] = []
    raw: list[float] = []
    theirs: list[float] = []
    for prompt in prompts:
        ids, logps = await sample(prompt, temperature, _LENGTH)
        if not ids or len(ids) != len(logps):
            raise Defect(
                f"{len(logps)} log-probabilities came with {len(ids)} tokens",
                "ask for log-probabilities of sampled tokens only; see the server's log",
            )
        if max(ids) >= model.config.vocab:
            raise Defect(
                f"token {max(ids)} was sampled; the folder's model has {model.config.vocab}",
                "another model is served than the folder holds; name the right one",
            )
        theirs += logps
        for into, heat in ((ours, temperature), (raw, 1.0)):
            into += await to_thread.run_sync(_log_probs, model, prompt, list(ids), heat)
    worst, mean = _differ(theirs, ours)
    return _Apart(len(theirs), worst, mean, *_differ(theirs, raw))


def _log_probs(model: Qwen3, prompt: list[int], ids: list[int], heat: float) -> list[float]:
    stream = torch.tensor([*prompt, *ids])
    attend = PackedAttention([len(stream)])
    with torch.inference_mode():
        hidden = model.hidden(stream, attend.positions_N, attend)[len(prompt) - 1 : -1]
        logps = token_log_probs(model, hidden, stream[len(prompt) :], heat)[0]
    return cast("list[float]", logps.tolist())  # pyright: ignore[reportUnknownMemberType]


def _differ(one: list[float], other: list[float]) -> tuple[float, float]:
    apart = [abs(a - b) for a, b in zip(one, other, strict=True)]
    return max(apart), sum(apart) / len(apart)


def _match(plain: _Apart, dtype: str) -> str:
    tolerance = TOLERANCES.get(dtype, TOLERANCES["bfloat16"])
    # Written so that a NaN fails too.
    if not plain.worst <= tolerance:
        raise Defect(
            f"off by up to {plain.worst:.3g}, {plain.mean:.3g} on average; {tolerance:g} is what "
            f"{dtype} explains",
            "the server's weights are not the folder's (another model, or updated since), or it "
            "computes in another dtype: start it with --dtype float32 to find out",
        )
    return f"{plain.tokens} tokens within {plain.worst:.1g} of ours ({dtype} allows {tolerance:g})"


def _distribution(plain: _Apart, heated: _Apart, dtype: str) -> str:
    tolerance = TOLERANCES.get(dtype, TOLERANCES["bfloat16"])
    if heated.worst <= tolerance and heated.mean <= heated.raw_mean:
        return f"at temperature {HEAT:g} they are those of what was sampled from"
    if heated.raw_worst <= tolerance:
        raise Defect(
            f"raw log-probabilities: at temperature {HEAT:g} they are those of temperature 1, off "
            f"by {heated.mean:.2f} on average from what was sampled from",
            "start vLLM with --logprobs-mode processed_logprobs; as they are, importance ratios "
            "are biased",
        )
    if not plain.worst <= tolerance:
        raise Unknown("they do not match ours at temperature 1 either")
    raise Defect(
        f"at temperature {HEAT:g} they are off by {heated.mean:.2f} on average, and from those of "
        f"temperature 1 by {heated.raw_mean:.2f}",
        "look for sampling defaults of the server's (top-k, penalties): --generation-config vllm",
    )
