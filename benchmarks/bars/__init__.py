"""The bars, one module each: ``outcomes() -> Iterator[Outcome]``."""
