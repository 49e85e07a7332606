"""Evaluation modes (recipe `evaluate.modes`): a file is a mode.

A mode offers `SHARDABLE: bool`, `plan(n_positions, cfg) -> WindowPlan` and
`evaluate(model, tokens, plan, table, cfg, *, device, autocast, log=ignore, watch=unwatched) -> Score`.
"""
