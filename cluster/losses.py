"""Which of the errors that Ray and PyTorch raise mean that a process, a machine or a device was lost, and no more than that."""

from __future__ import annotations

import ray
import torch.distributed as dist

from recur.errors import WorkerLost

_NODE_DIED = "node has died"
"""In Ray's words for an actor whose machine is gone (read in 2.60)."""
_OTHER_CLUSTER = "WrongClusterID"
"""In Ray's words for a process of a cluster whose head was replaced by another one (an AuthenticationError in 2.60)."""
_PEER_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed")
"""In gloo's words for another rank that is gone."""
_DEVICE_GONE = (
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "no CUDA-capable device is detected",
    "CUDA-capable device(s) is/are busy or unavailable",
    "CUDA error: unknown error",
    "CUDA error: hardware stack error",
    "GPU is lost",
)
"""In CUDA's words for a device that failed. An illegal memory access is the program's and not among them."""
_PROCESS_GONE = (
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.ObjectLostError,
)


def loss_of(error: BaseException, what: str) -> WorkerLost | None:
    """The loss that ``error`` tells of; None where it is an error of the program's own.

    Args:
        error: as Ray raised it, or as the program did in another process.
        what: subject of the sentence, e.g. ``training rank 3``.
    """
    if isinstance(error, ray.exceptions.NodeDiedError):
        return WorkerLost(f"{what} was lost: its node went away", node_gone=True)
    if isinstance(error, ray.exceptions.AuthenticationError) and _OTHER_CLUSTER in str(error):
        return WorkerLost(f"{what} was lost: the cluster's head was replaced", node_gone=True)
    if isinstance(error, _PROCESS_GONE):
        gone = bool(getattr(error, "preempted", False)) or _NODE_DIED in str(error)
        return WorkerLost(f"{what} was lost: its {'node went away' if gone else 'process died'}", node_gone=gone)
    if words := next((words for words in _DEVICE_GONE if words in str(error)), None):
        return WorkerLost(f"{what} was lost: its device failed ({words})", node_gone=False)
    return None


def peer_lost(error: BaseException) -> bool:
    """Whether an error says no more than that another rank is gone."""
    return isinstance(error, ConnectionError | dist.DistError) or any(words in str(error) for words in _PEER_GONE)
