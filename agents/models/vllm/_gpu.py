"""Weights from our GPU into a vLLM server's, by its own NCCL and IPC engines.

NCCL joins different GPUs; it cannot have one device twice. IPC hands over memory within one GPU.
Both take one tensor after another inside one update, so nothing is staged or packed. The names that
travel are those of the file, which are Hugging Face's; a tied head is in it once.

vLLM is not imported: it joins an NCCL group that torch makes, by a unique id.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol, cast

import msgspec
import torch
from anyio import create_task_group, to_thread
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from ....engine import checkpoint, one_error
from ._weights import Control, WeightsRefused

Load = Callable[[str], dict[str, Tensor]]
"""From a file to tensors on the device they are sent from."""


class Group(Protocol):
    """The sender's end of an NCCL group, rank 0. All of it blocks."""

    def unique_id(self) -> bytes:
        """128 bytes by which the others find the group."""
        ...

    def join(self, unique_id: bytes, size: int) -> None:
        """Meet the other ranks."""
        ...

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Send each tensor to all; returns when they have left."""
        ...


class NcclRoute:
    """Broadcasts to all workers of a server. One group a server; one server at a time is enough:
    a node's workers are all in it."""

    backend: ClassVar[str] = "nccl"
    environment: ClassVar[dict[str, str]] = {}

    def __init__(
        self, load: Load | None = None, make_group: Callable[[], Group] | None = None
    ) -> None:
        self._load = load or load_cuda
        self._make_group = make_group or CudaGroup
        self._groups: dict[Control, Group] = {}

    async def begin(self, control: Control) -> None:
        world = msgspec.json.decode(await control.get("/get_world_size"), type=_World)
        group = self._make_group()
        unique_id = await to_thread.run_sync(group.unique_id)
        info = {
            "nccl_unique_id_b64": base64.b64encode(unique_id).decode(),
            "rank_offset": 1,
            "world_size": world.world_size + 1,
            "packed": False,
        }
        await _together(
            partial(control.post, "/init_weight_transfer_engine", {"init_info": info}),
            partial(group.join, unique_id, world.world_size + 1),
        )
        self._groups[control] = group

    async def send(self, control: Control, path: str) -> None:
        weights = await to_thread.run_sync(self._load, path)
        await _together(
            partial(control.post, "/update_weights", {"update_info": describe(weights)}),
            partial(self._groups[control].broadcast, list(weights.values())),
        )

    def sent(self, control: Control) -> None:
        pass


class IpcRoute:
    """Hands a server on the same GPU the memory itself."""

    backend: ClassVar[str] = "ipc"
    # Handles are pickled on their way; they come from us alone, over the loopback.
    environment: ClassVar[dict[str, str]] = {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"}

    def __init__(
        self, load: Load | None = None, share: Callable[[Tensor], tuple[str, Any]] | None = None
    ) -> None:
        self._load = load or load_cuda
        self._share = share or share_cuda
        self._held: dict[Control, dict[str, Tensor]] = {}

    async def begin(self, control: Control) -> None:
        await control.post("/init_weight_transfer_engine", {"init_info": {"packed": False}})

    async def send(self, control: Control, path: str) -> None:
        weights = await to_thread.run_sync(self._load, path)
        # A handle does not keep its memory alive, and the server may copy as late as at the end.
        self._held[control] = weights
        handles = [dict([self._share(weight)]) for weight in weights.values()]
        pickled = base64.b64encode(pickle.dumps(handles)).decode()
        info = {**describe(weights), "ipc_handles_pickled": pickled}
        await control.post("/update_weights", {"update_info": info})

    def sent(self, control: Control) -> None:
        self._held.pop(control, None)
        if torch.cuda.is_available():
            cast("Any", torch.cuda).ipc_collect()


class CudaGroup:
    """An NCCL group by torch's own bindings, on the current device."""

    def __init__(self) -> None:
        self._communicator: object = None

    def unique_id(self) -> bytes:
        return bytes(_nccl().unique_id())

    def join(self, unique_id: bytes, size: int) -> None:
        self._communicator = _nccl().init_rank(size, unique_id, 0)
        # vLLM's end warms up with a sum over one element, and waits for ours.
        one = torch.zeros(1, device="cuda")
        _nccl().all_reduce([one], [one], comms=[self._communicator])
        torch.cuda.synchronize()

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            _nccl().broadcast([tensor], comms=[self._communicator])
        torch.cuda.synchronize()


class _World(msgspec.Struct):
    world_size: int


def describe(weights: dict[str, Tensor]) -> dict[str, list[Any]]:
    """Names, types and shapes, as both engines of vLLM want to be told."""
    return {
        "names": list(weights),
        "dtype_names": [str(weight.dtype).removeprefix("torch.") for weight in weights.values()],
        "shapes": [list(weight.shape) for weight in weights.values()],
    }


def load_cuda(path: str) -> dict[str, Tensor]:
    """The file's tensors on the current GPU."""
    return load_file(path, device="cuda")


def share_cuda(weight: Tensor) -> tuple[str, Any]:
    """The GPU's name and how another process there opens the tensor's memory."""
    from torch.multiprocessing import reductions

    _, arguments = cast("Any", reductions).reduce_tensor(weight)
    properties = cast("Any", torch.cuda).get_device_properties(weight.device)
    return str(properties.uuid), arguments


async def _together(order: Callable[[], Any], work: Callable[[], None]) -> None:
    """The server's half, over HTTP, while a thread does ours: both wait inside NCCL for one
    another.

    A half whose other half failed waits for ever, and a thread that NCCL holds cannot be called
    back; it is left behind, and the caller's error says what happened. The order's error comes
    first, because it has words.
    """
    failed: list[WeightsRefused] = []

    async def ours() -> None:
        try:
            await to_thread.run_sync(work, abandon_on_cancel=True)
        except RuntimeError as error:
            # The server now waits for ever as well: stop asking it.
            failed.append(WeightsRefused(f"NCCL: {error}"))
            tasks.cancel_scope.cancel()

    with one_error():
        async with create_task_group() as tasks:
            tasks.start_soon(ours)
            await order()
    if failed:
        raise failed[0]
    await checkpoint()


def _nccl() -> Any:
    """torch's NCCL bindings, which have no types."""
    import torch.cuda.nccl as bindings

    return bindings
