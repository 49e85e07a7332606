"""What a user names: seeds, sweeps and profiles, checked."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.job_client import job_id
from recur.errors import InputError

LARGEST_SEED = 2**32 - 1
"""numpy's generator takes 32 bits."""
LARGEST_ATTEMPT = 99
"""Room that a sweep's name leaves for attempts in its job ids."""


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse no seeds, a seed twice, or one that is no 32-bit number.

    Raises:
        InputError: the first that is wrong.
    """
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise InputError(f"--seeds {','.join(map(str, seeds))}", f"names {twice[0]} twice", "name each seed once")
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            raise InputError(f"--seeds {seed}", f"must be from 0 to {LARGEST_SEED}", "choose another seed")


def check_name(name: str, seeds: Sequence[int]) -> None:
    """Refuse a sweep's name that is no part of a path or makes a job id that Ray cannot take.

    Raises:
        InputError: as said.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise InputError(f"--sweep {name!r}", "must be of a-z, 0-9 and '-', starting with none of '-'", "e.g. my-sweep")
    for seed in seeds:
        job_id(name, seed, LARGEST_ATTEMPT)


def named_profile(name: str) -> str | Path:
    """The value of ``--profile`` as `load_recipe` takes it."""
    return Path(name).expanduser() if name.endswith(".toml") else name


def new_name(profile: str) -> str:
    """``<profile>-<date>-<time>``, in the letters of a job id."""
    plain = re.sub(r"[^a-z0-9]+", "-", profile.lower()).strip("-")[:24] or "sweep"
    return f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
