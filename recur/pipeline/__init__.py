"""One seed from its spec to its result: train and calibrate, quantize, fit, evaluate, verify.

No Ray here: a `Backend` says where training runs and where independent pieces are mapped to.
"""

from recur.pipeline.backend import Backend, LocalBackend
from recur.pipeline.observer import AttemptObserver
from recur.pipeline.run import run_seed

__all__ = ["AttemptObserver", "Backend", "LocalBackend", "run_seed"]
