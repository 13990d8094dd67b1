"""The transcript: append-only, packed as it was sampled."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from duologue.agents import Transcript
from duologue.agents.models import Generation
from duologue.engine import Span

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=6)
LOGP = st.floats(-40, 0, width=32)


@dataclass(frozen=True)
class Read:
    ids: list[int]


@dataclass(frozen=True)
class Wrote:
    generation: Generation


@st.composite
def generations(draw: st.DrawFn) -> Wrote:
    """A generation whose spans cover its tokens, as a sampler's do."""
    ids = draw(IDS)
    logps = draw(st.lists(LOGP, min_size=len(ids), max_size=len(ids)))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(ids) - 1)), max_size=2)))
    edges = [0, *(cut for cut in cuts if cut < len(ids)), len(ids)] if ids else []
    spans = [Span(start, end, version) for version, (start, end) in enumerate(pairwise(edges))]
    return Wrote(Generation(ids=array("i", ids), logps=array("f", logps), spans=tuple(spans)))


def grow(transcript: Transcript, step: Read | Wrote) -> None:
    if isinstance(step, Read):
        transcript.read(step.ids)
    else:
        transcript.wrote(step.generation)


@given(st.lists(st.one_of(st.builds(Read, IDS), generations()), max_size=8))
def test_what_is_written_stays_and_packing_says_who_wrote_what(steps: list[Read | Wrote]) -> None:
    transcript = Transcript()
    ids: list[int] = []
    logps: list[float] = []
    mask: list[int] = []
    turns: list[int] = []
    versions: dict[int, int] = {}
    for step in steps:
        before = transcript.tokens()
        grow(transcript, step)
        if isinstance(step, Wrote):
            turns.append(len(ids))
            for span in step.generation.spans:
                for place in range(span.start, span.end):
                    versions[len(ids) + place] = span.version
            ids += step.generation.ids
            logps += step.generation.logps
            mask += [1] * len(step.generation.ids)
        else:
            ids += step.ids
            logps += [0.0] * len(step.ids)
            mask += [0] * len(step.ids)
        after = transcript.tokens()
        assert after.ids.startswith(before.ids)
        assert after.mask.startswith(before.mask)
        assert after.logps.startswith(before.logps)
        assert after.turns[: len(before.turns)] == before.turns
        assert after.spans[: len(before.spans)] == before.spans
    packed = transcript.tokens()
    assert list(packed.ids_array()) == ids == list(transcript.ids)
    assert list(packed.logps_array()) == logps
    assert list(packed.mask) == mask
    assert list(packed.turns) == turns
    assert len(packed) == len(transcript) == len(ids)
    covered = {
        place: span.version for span in packed.spans for place in range(span.start, span.end)
    }
    assert covered == versions
    # Only what the model sampled has a version, and all of it has one.
    assert set(covered) == {place for place, flag in enumerate(mask) if flag}


def test_packed_tokens_do_not_grow_with_the_transcript() -> None:
    transcript = Transcript()
    transcript.read([1, 2])
    packed = transcript.tokens()
    transcript.read([3])
    assert list(packed.ids_array()) == [1, 2]
    assert list(transcript.ids) == [1, 2, 3]


def test_empty_transcript_packs_to_nothing() -> None:
    packed = Transcript().tokens()
    assert len(packed) == 0
    assert (packed.ids, packed.logps, packed.turns, packed.spans) == (b"", b"", (), ())
