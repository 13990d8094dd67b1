"""A weight-transfer engine for vLLM that reads a safetensors file. Runs inside vLLM's worker.

vLLM's own engines move weights between GPUs; this one works wherever both sides see one file
system, CPU builds included. vLLM imports it by the name given to `--worker-extension-cls`; it knows
nothing of the rest of the package.
"""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from vllm.distributed.weight_transfer.base import (  # type: ignore[import-not-found]
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import (  # type: ignore[import-not-found]
    WeightTransferEngineFactory,
)
from vllm.model_executor.model_loader.reload import (  # type: ignore[import-not-found]
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)
from vllm.platforms import current_platform  # type: ignore[import-not-found]

_HEAD = "lm_head.weight"


@dataclass
class FileInit(WeightTransferInitInfo):  # type: ignore[misc]
    """Nothing to agree on."""


@dataclass
class FileUpdate(WeightTransferUpdateInfo):  # type: ignore[misc]
    """path: the safetensors file, on this machine."""

    path: str = ""


class FileEngine(WeightTransferEngine):  # type: ignore[misc]
    """Loads the whole file in one update, after checking that it is this model's."""

    init_info_cls = FileInit
    update_info_cls = FileUpdate
    supports_draft_weight_update = False

    def init_transfer_engine(self, init_info: FileInit) -> None:
        pass

    def start_weight_update(self) -> None:
        # Preparing takes the model apart, so it waits until the file has been found to fit: an
        # update that is refused leaves the old weights as they were.
        pass

    def receive_weights(self, update_info: FileUpdate) -> None:
        with safe_open(update_info.path, "pt") as file:
            found = {name: _shape(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
            self._check(update_info.path, found)
            initialize_layerwise_reload(self.model)
            self.model.load_weights((name, file.get_tensor(name)) for name in found)

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        if self._tied and current_platform.is_cpu():
            self._repack_head()

    def shutdown(self) -> None:
        pass

    @property
    def _tied(self) -> bool:
        return bool(getattr(self.model.config, "tie_word_embeddings", False))

    def _check(self, path: str, found: dict[str, list[int]]) -> None:
        """Raise `ValueError` unless the file has the tensors of the folder that is served."""
        wanted = dict(_folder_shapes(Path(self.model_config.model)))
        if self._tied:
            wanted.pop(_HEAD, None)
            found = {name: shape for name, shape in found.items() if name != _HEAD}
        for name in sorted(wanted.keys() ^ found.keys()) if wanted else []:
            what = "lacks" if name in wanted else "has an unknown"
            raise ValueError(f"{path} {what} tensor {name!r}")
        for name, shape in wanted.items():
            if found[name] != shape:
                raise ValueError(f"{path}: {name!r} has shape {found[name]}, not {shape}")

    def _repack_head(self) -> None:
        """CPU kernels keep a packed copy of a tied head, which the reload leaves old."""
        from vllm.model_executor.layers.utils import (  # type: ignore[import-not-found]
            dispatch_cpu_unquantized_gemm,
        )

        model: Any = self.model
        model.lm_head.weight = model.model.embed_tokens.weight
        dispatch_cpu_unquantized_gemm(model.lm_head, remove_weight=False)


class Extension:
    """What `--worker-extension-cls` names; importing this module is all that is wanted."""


def _shape(tensor: Any) -> list[int]:
    return list(tensor.get_shape())


def _folder_shapes(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes in the folder's safetensors files; none for what is no local folder."""
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__":
                yield name, entry["shape"]


WeightTransferEngineFactory.register_engine("file", FileEngine)
