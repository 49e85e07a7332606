"""Ways from trained weights to a container under the cap: a component of the recipe (``artifact.fit``).

Each module provides ``quantize(work) -> Quantized`` and ``fit(work) -> Fitted``, the two phases over the attempt's folder.
"""
