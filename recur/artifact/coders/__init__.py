"""Coders of a section; a component is a module here with two functions.

``encode(raw: RawSection) -> bytes | None``: the coded bytes, or None where the coder does not apply to such a section.
``decode(data: bytes, shape: SectionShape) -> bytes``: the inverse, in memory bounded by ``shape.raw_bytes`` and a constant;
raises `ArtifactError` for anything that is not a whole coded section of that size.
"""
