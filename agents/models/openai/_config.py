"""Settings of chat models behind the openai SDK."""

from __future__ import annotations

from msgspec import Struct

from ..limits._limits import LimitsConfig


class OpenAIConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be asked of `openai:NAME`, and what it may cost.

    Where it is and the key to it are no settings: settings are stored with the run. They come from
    $OPENAI_BASE_URL and $OPENAI_API_KEY.

    price_in, price_out: US dollars for a million tokens read and written.
    cap_usd: the most that all calls of a run may cost together; a call that could go past it is
             refused. Without one nothing is refused.
    limits:  how the endpoint is treated.
    """

    price_in: float = 0.0
    price_out: float = 0.0
    cap_usd: float | None = None
    limits: LimitsConfig = LimitsConfig(concurrency=256)

    def __post_init__(self) -> None:
        for name in ("price_in", "price_out", "cap_usd"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is {value}; it must not be negative")
        if self.cap_usd is not None and not self.price_in + self.price_out:
            raise ValueError("cap_usd needs the prices of tokens: set price_in and price_out")
