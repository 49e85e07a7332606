"""Faults on a simulated cluster of real Ray nodes: `make test-faults`, `make test-faults-long`."""
