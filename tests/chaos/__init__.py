"""Faults at random on a cluster of real Ray nodes, for as long as one likes: `python -m tests.chaos --minutes N --seed S`."""
