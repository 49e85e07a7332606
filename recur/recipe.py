"""Profiles and overrides: text becomes one checked, frozen `Recipe`.

The only file of recur/ that needs pydantic. A profile is a TOML file; ``extends = "name"`` starts from another profile.
An override is merged into the profile's tree and the whole is validated again. Errors say value, rule and remedy.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from recur.checks import check_recipe
from recur.config import Recipe
from recur.errors import RecipeError

_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)
Tree = dict[str, Any]


def profile_names() -> list[str]:
    """Names of the profiles that ship with the package, sorted."""
    folder = resources.files("recur.profiles")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load_recipe(profile: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a profile (a shipped name, or a path ending in .toml) with ``a.b=v`` overrides applied.

    Raises:
        RecipeError: unknown profile or key, wrong type, out of bounds, or values that contradict each other.
    """
    return _with_overrides(_read_profile(profile), overrides)


def override(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with further ``a.b=v`` overrides applied and the whole checked again; errors as `load_recipe`."""
    return _with_overrides(json.loads(recipe_to_json(recipe)), overrides)


def _with_overrides(tree: Tree, overrides: Sequence[str]) -> Recipe:
    for text in overrides:
        _apply_override(tree, text)
    return recipe_from_json(json.dumps(tree, default=str))  # a date of TOML becomes text, which no key takes


def recipe_from_json(text: str) -> Recipe:
    """Parse and check a recipe; the inverse of `recipe_to_json`."""
    try:
        recipe = _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise _first_problem(error) from error
    check_recipe(recipe)
    return recipe


def recipe_to_json(recipe: Recipe) -> str:
    """Canonical JSON: keys in definition order, no spaces that vary."""
    return json.dumps(_ADAPTER.dump_python(recipe, mode="json"), separators=(",", ":"))


def fingerprint(recipe: Recipe, dataset_sha256: str) -> str:
    """Identity of a run up to its seed: recipe, data manifest and the package's source, sha256 in hex."""
    digest = hashlib.sha256()
    for part in (recipe_to_json(recipe), dataset_sha256, source_sha256()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def source_sha256() -> str:
    """Hash of every source file of the package, in path order."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for kind in ("*.py", "*.toml", "*.c") for path in root.rglob(kind)):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _read_profile(profile: str | Path, *, above: Path = Path(), chain: tuple[str, ...] = ()) -> Tree:
    """The tree of a profile with what it extends.

    Args:
        profile: a shipped name or a path.
        above: the folder that a relative path starts from.
        chain: what has extended this one so far.
    """
    if not str(profile).endswith(".toml"):
        return _shipped(str(profile), chain)
    path = (above / profile).resolve()
    if not path.is_file():
        raise RecipeError(f"profile={str(profile)!r}", "is not a file", "give a shipped name or an existing .toml file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"profile={str(profile)!r}", f"cannot be read as text ({error})", "give a TOML file in UTF-8"
        ) from error
    return _parse_profile(path.stem, text, path.parent, (*chain, str(path)))


def _shipped(name: str, chain: tuple[str, ...]) -> Tree:
    if name not in profile_names():
        near = difflib.get_close_matches(name, profile_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(profile_names())}, or a .toml file"
        raise RecipeError(f"profile={name!r}", "is not a known profile", hint)
    text = resources.files("recur.profiles").joinpath(f"{name}.toml").read_text("utf-8")
    return _parse_profile(name, text, Path(), (*chain, name))


def _parse_profile(name: str, text: str, folder: Path, chain: tuple[str, ...]) -> Tree:
    if len(set(chain)) < len(chain):
        raise RecipeError(f"profile={name!r}", f"extends itself: {' -> '.join(chain)}", "let one of them extend another profile")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"profile={name!r}", f"is not valid TOML ({error})", "mend the file") from error
    base = tree.pop("extends", None)
    if base is not None and not isinstance(base, str):
        raise RecipeError(f"extends={base!r} in profile {name!r}", "must be one name or path in quotes", 'e.g. extends = "recur"')
    merged = _read_profile(base, above=folder, chain=chain) if base is not None else {}
    _merge(merged, tree)
    merged["profile"] = name
    return merged


def _merge(into: Tree, new: Tree) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _apply_override(tree: Tree, text: str) -> None:
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set {text!r}", "must have the form section.key=value", "e.g. --set train.steps=100")
    new: Any = _parse_value(value.strip())
    for key in reversed(keys):
        new = {key: new}
    _merge(tree, new)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _first_problem(error: ValidationError) -> RecipeError:
    problem = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        known = sorted(_known_keys())
        near = difflib.get_close_matches(path, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "see `recur profiles --show NAME` for the keys"
        return RecipeError(f"{path}={problem['input']!r}", "is not a key of the recipe", hint)
    rule = problem["msg"][:1].lower() + problem["msg"][1:]
    return RecipeError(f"{path}={problem.get('input')!r}", f"is refused: {rule}", "correct the value")


def _known_keys() -> Iterator[str]:
    tree = cast(Tree, _ADAPTER.dump_python(Recipe(profile="x"), mode="json"))
    stack: list[tuple[str, Any]] = [("", tree)]
    while stack:
        prefix, node = stack.pop()
        for key, value in node.items():
            yield prefix + key
            if isinstance(value, dict):
                stack.append((f"{prefix}{key}.", value))
