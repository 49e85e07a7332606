"""Many seeds on many nodes through the real queue and reconciler: `python -m tests.scale --seeds 1000 --nodes 50`."""
