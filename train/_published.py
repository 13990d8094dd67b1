"""What the paper publishes (UserRL 2509.19736, Tables 2, 3 and 4), to stand beside our numbers.

One run each on its own test files, with GPT-4o as the user, 16 turns, temperature 0; the paper
gives no intervals. `intention` is a sum of rewards, up to 2.68, and not a share.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

GYMS = (
    "travel", "turtle", "function", "tau", "persuade", "intention", "telepathy", "search",
)  # fmt: skip
"""The columns of Table 3, in its order."""

HELD_OUT = frozenset({"intention", "telepathy", "search"})
"""The gyms that the paper does not train on."""

TEST_SIZES: Mapping[str, int] = {
    "travel": 471, "turtle": 48, "function": 78, "tau": 165,
    "persuade": 42, "intention": 40, "telepathy": 41, "search": 125,
}  # fmt: skip
"""Table 2: the test tasks of each gym, the weights of the paper's average."""


class Published(Struct, frozen=True, kw_only=True):
    """A row of Table 3 with its columns of Table 4; `average` as the paper prints it."""

    model: str
    gyms: dict[str, float]
    average: float
    effective_turns: float
    time_weighted: float


def _row(model: str, average: float, turns: float, weighted: float, *scores: float) -> Published:
    return Published(
        model=model,
        gyms=dict(zip(GYMS, scores, strict=True)),
        average=average,
        effective_turns=turns,
        time_weighted=weighted,
    )


# Turn-level / trajectory-level scoring of the trained models; `raw` ones are not trained.
PUBLISHED: tuple[Published, ...] = (
    _row("Qwen3-8B Equalized/R2G", 0.5652, 6.6463, 0.6516,
         0.5730, 0.1854, 0.4231, 0.1818, 0.5317, 1.8175, 0.5610, 0.8880),
    _row("Qwen3-8B EM/R2G", 0.5343, 5.8792, 0.5586,
         0.5025, 0.1917, 0.4103, 0.2000, 0.5397, 1.9025, 0.5366, 0.8640),
    _row("Qwen3-8B R2G/R2G", 0.5539, 5.1050, 0.6510,
         0.5724, 0.1615, 0.4231, 0.1394, 0.5238, 1.8525, 0.5854, 0.8480),
    _row("Qwen3-8B Equalized/Sum", 0.5076, 6.1842, 0.4530,
         0.5054, 0.1323, 0.2692, 0.2121, 0.5040, 1.6275, 0.5366, 0.8320),
    _row("Qwen3-4B Equalized/R2G", 0.5269, 6.1307, 0.6423,
         0.5086, 0.1844, 0.3333, 0.2000, 0.4643, 1.8075, 0.6098, 0.8640),
    _row("Qwen3-4B EM/R2G", 0.5154, 5.6743, 0.5355,
         0.5076, 0.1417, 0.3333, 0.1576, 0.4563, 1.7375, 0.6341, 0.8640),
    _row("Qwen3-4B R2G/R2G", 0.4895, 5.7317, 0.6213,
         0.4629, 0.1687, 0.3974, 0.1333, 0.5794, 1.5975, 0.4634, 0.8640),
    _row("Qwen3-4B Equalized/Sum", 0.4656, 5.3881, 0.5118,
         0.4456, 0.1615, 0.2308, 0.1333, 0.4524, 1.7150, 0.4878, 0.8400),
    _row("Qwen3-32B raw", 0.3128, 2.8079, 0.2852,
         0.1724, 0.1510, 0.1538, 0.0000, 0.4841, 1.8300, 0.5610, 0.7920),
    _row("Qwen3-14B raw", 0.3027, 3.4129, 0.3211,
         0.1924, 0.1417, 0.1667, 0.1030, 0.5317, 1.7000, 0.5854, 0.5120),
    _row("Qwen3-4B raw", 0.2929, 2.2545, 0.2674,
         0.1405, 0.0854, 0.0769, 0.0364, 0.4048, 1.7400, 0.4878, 0.8560),
    _row("Gemini-2.5-Pro", 0.4702, 5.7731, 0.5263,
         0.3468, 0.2740, 0.4103, 0.1939, 0.4246, 1.5900, 0.9024, 0.9280),
    _row("Gemini-2.5-Flash", 0.3973, 4.2465, 0.4525,
         0.2553, 0.1958, 0.3205, 0.1212, 0.4087, 1.6850, 0.6341, 0.9280),
    _row("GPT-4o", 0.4449, 3.4087, 0.4024,
         0.3643, 0.2917, 0.2821, 0.0303, 0.3770, 1.8975, 0.8537, 0.8800),
    _row("GPT-4o-mini", 0.1729, 1.9461, 0.1614,
         0.0976, 0.0906, 0.1538, 0.2061, 0.5317, 0.2500, 0.0488, 0.3520),
)  # fmt: skip
