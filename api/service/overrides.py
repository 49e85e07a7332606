"""A profile and the overrides of a request become a recipe; a request can change values, never name a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from api.models import ProblemPart
from api.problems import Refused
from recur.config import Recipe
from recur.errors import RecipeError
from recur.recipe import load_recipe, profile_names

_KEY = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")
_WORD = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99}(/[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99})?")
"""Strings of a recipe are names (of components, precisions, a repository `owner/name`), never paths or free text."""
_LONGEST_LIST = 256


def recipe_of(profile: str, overrides: Mapping[str, Any]) -> Recipe:
    """The checked recipe.

    Raises:
        Refused: 422 with the place of the first thing that is wrong.
    """
    if profile == "auto":
        hint = f"name one of {', '.join(profile_names())}"
        raise _refused("/profile", "profile='auto' is for the command line, which can see the cluster", hint)
    if profile not in profile_names():
        try:
            load_recipe(profile.removesuffix(".toml"))
        except RecipeError as error:
            raise _refused("/profile", f"{error.value} {error.rule}", error.remedy.replace(", or a .toml file", "")) from error
        raise _refused("/profile", f"profile={profile!r} is not a known profile", f"choose one of {', '.join(profile_names())}")
    for key, value in overrides.items():
        _check(key, value)
    try:
        return load_recipe(profile, [f"{key}={json.dumps(value)}" for key, value in overrides.items()])
    except RecipeError as error:
        raise _of_recipe(error, overrides) from error


def _check(key: str, value: object) -> None:
    pointer = "/overrides/" + key.replace("~", "~0").replace("/", "~1")
    if len(key) > 100 or not _KEY.fullmatch(key):
        raise _refused(pointer, f"{key[:100]!r} is not a key of the recipe", 'keys look like "train.steps"')
    values = value if isinstance(value, list) else [value]
    if len(values) > _LONGEST_LIST:
        raise _refused(pointer, f"a list of {len(values)} values", f"at most {_LONGEST_LIST}")
    for part in values:
        if not isinstance(part, bool | int | float | str):
            raise _refused(
                pointer, "the value is neither a number, a word, true or false, nor a list of these", "see the profile"
            )
        if isinstance(part, str) and not _WORD.fullmatch(part):
            raise _refused(pointer, f"{part[:60]!r} is not a name", "letters, digits, '_', '.', '+' and '-'; owner/name")


def _of_recipe(error: RecipeError, overrides: Mapping[str, Any]) -> Refused:
    """The refusal at the override that the recipe's error names, else at all of them."""
    named = re.match(r"[a-z0-9_.]+", error.value)
    path = named.group() if named else ""
    key = next((key for key in overrides if path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.")), None)
    pointer = "/overrides" if key is None else f"/overrides/{key}"
    return _refused(pointer, f"{error.value} {error.rule}", error.remedy)


def _refused(pointer: str, detail: str, hint: str) -> Refused:
    return Refused(422, "recipe_refused", detail, hint, errors=[ProblemPart(pointer=pointer, detail=detail, hint=hint)])
