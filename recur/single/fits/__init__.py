"""From a training in memory to a container under the cap, by the recipe's ``artifact.fit`` (one module each).

Each module provides ``container(trained, recipe, say) -> bytes``.
"""
