"""Probes of what an evaluation executes: do its scores obey the four conditions of RULES B1.

A probe sees a *scoring*: a function from a stream of tokens to the nats of each target. What is inside does not matter.
"""
