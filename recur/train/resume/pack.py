"""A state as plain JSON and named tensors, and back: what safetensors and JSON together can carry, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_TENSOR, _ARRAY, _MAP = "tensor", "array", "map"
"""Keys of the one-entry objects that stand for a tensor, a numpy array, and a mapping (whose keys may be integers)."""
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, kw_only=True)
class Packed:
    """JSON in which objects with one entry stand for what JSON does not have, and the tensors they name, on the CPU."""

    plain: Any
    tensors: dict[str, Tensor]


def pack(tree: object) -> Packed:
    """Split ``tree`` into JSON and tensors on the CPU.

    Args:
        tree: mappings with string or integer keys, lists, tuples (they come back as lists), tensors, numpy arrays,
            strings, numbers, booleans, None.

    Raises:
        TypeError: anything else.
    """
    tensors: dict[str, Tensor] = {}

    def keep(tensor: Tensor) -> str:
        name = f"t{len(tensors)}"
        tensors[name] = tensor.contiguous()
        return name

    def walk(node: object) -> Any:
        if isinstance(node, Tensor):
            return {_TENSOR: keep(node.detach().to("cpu", copy=True))}
        if isinstance(node, np.ndarray):
            return {_ARRAY: keep(torch.from_numpy(node.copy()))}
        if isinstance(node, Mapping):
            return {_MAP: [[key, walk(value)] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            return [walk(item) for item in node]
        if isinstance(node, _PLAIN):
            return node
        raise TypeError(f"{type(node).__name__} cannot be part of a checkpoint")

    return Packed(plain=walk(tree), tensors=tensors)


def unpack(packed: Packed) -> Any:
    """What `pack` split.

    Raises:
        KeyError, TypeError, ValueError: the two do not belong together.
    """
    return _unpacked(packed.plain, packed.tensors)


def _unpacked(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(plain, dict):
        ((kind, value),) = plain.items()
        if kind == _TENSOR:
            return tensors[value]
        if kind == _ARRAY:
            return tensors[value].numpy()
        if kind == _MAP:
            return {key: _unpacked(item, tensors) for key, item in value}
        raise ValueError(f"{kind!r} is no kind of node")
    if isinstance(plain, list):
        return [_unpacked(item, tensors) for item in plain]
    return plain
