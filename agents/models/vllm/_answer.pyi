"""Sound answers of vLLM's, read in one pass."""

def read(
    body: bytes, most: int, /
) -> tuple[bytes, bytes, str | None, tuple[tuple[str, int, int], ...], bytes] | None: ...
