"""The code as one file: a script generated from this package that trains, quantizes and evaluates one recipe.

`bundle` gives the script's bytes, whose number is what a record counts as code, and the same program readable. What the
script needs from pip is `requirements`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version

from recur.config import Recipe
from recur.record.bundle.flatten import Style
from recur.record.bundle.fold import known_values
from recur.record.bundle.kept import kept
from recur.record.bundle.pack import pack
from recur.record.bundle.shrink import shrink

__all__ = ["Bundle", "bundle", "requirements", "with_code_bytes"]

REQUIRED = ("torch", "numpy", "scipy", "brotli", "constriction", "sentencepiece")
"""What the script imports beside the standard library; a test holds this against the script."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One script: as it is shipped, and the recipe it was made of."""

    source: bytes
    recipe: Recipe

    @property
    def plain(self) -> str:
        """The same program readable; it counts the shipped one's bytes as its code, so both make the same artifact."""
        from recur.record.bundle.program import program

        return program(self.recipe, Style(readable=True, fit=self.recipe.artifact.fit), len(self.source))


def bundle(recipe: Recipe) -> Bundle:
    """The script of a recipe; equal recipes (but for their code bytes) give equal bytes."""
    return _bundle(replace(recipe, artifact=replace(recipe.artifact, code_bytes=0)))


@lru_cache(maxsize=4)
def _bundle(recipe: Recipe) -> Bundle:
    def make() -> bytes:
        from recur.record.bundle.program import program  # loads torch, which a script that is kept does without

        short = Style(readable=False, fit=recipe.artifact.fit, values=known_values(recipe))
        return pack(shrink(program(recipe, short, None)).encode())

    return Bundle(source=kept(recipe, make), recipe=recipe)


def with_code_bytes(recipe: Recipe) -> Recipe:
    """The recipe with the size of its own script as code bytes, where ``artifact.code_bytes_source`` says so."""
    if recipe.artifact.code_bytes_source != "bundle":
        return recipe
    return replace(recipe, artifact=replace(recipe.artifact, code_bytes=len(bundle(recipe).source)))


def requirements() -> str:
    """The script's requirements.txt, with the versions that are installed here."""
    return "".join(f"{name}=={version(name).split('+')[0]}\n" for name in REQUIRED)
