"""Definitions that stand in for the package's own in a flat program: the table of components, and what never comes up."""

from __future__ import annotations

from recur.record.bundle.modules import Definition

COMPONENTS = Definition("recur.components", "COMPONENTS")
OVERRIDES = {
    Definition("recur.components", "component"): (
        "from types import SimpleNamespace\nCOMPONENTS = SimpleNamespace\n\n\n"
        "def component(package, name):\n    '''The parts of a component.'''\n    return COMPONENTS[package][name]\n\n\n"
        "def available(package):\n    '''Names of the components of a package, sorted.'''\n"
        "    return sorted(COMPONENTS[package])\n"
    ),
}
SHORT = {
    Definition("recur.evaluate.intervals", "scored_intervals"): "def scored_intervals(plan, version):\n    return ()\n",
    Definition("recur.evaluate.intervals", "join"): "def join(intervals):\n    return ()\n",
    Definition("recur.train.warmup", "state_hash"): "def state_hash(model, optimizers, loader):\n    return ''\n",
    Definition("recur.train.flops", "measured_peak_tflops"): "def measured_peak_tflops(device, dtype):\n    return 1.0\n",
    Definition(
        "recur.data.loader", "free_rows"
    ): "def free_rows(kept, count, width):\n    return np.empty((count, width), np.int64)\n",
    Definition("recur.optim.matrix.muon", "_gradient"): "def _gradient(p):\n    return p.grad.float()\n",
    Definition("recur.optim.matrix.muon", "_decay"): "def _decay(bank, momentum, ranks):\n    return momentum\n",
    Definition("recur.errors", "InputError"): (
        "class InputError(RecurError):\n"
        "    value = property(str)\n\n"
        "    def __str__(self):\n        return ''.join(self.args) or 'artifact is damaged or of another recipe'\n"
    ),
}
"""In the short form errors have one text or none. The log of what was scored, the hashes around the warm-up and the share of the
device's peak, which its log does not show, are the package's alone; so are matrices without a gradient, which no recipe has."""
REFUSED = {
    "solve": {
        Definition("recur.artifact.reference", "read_container"): (
            "def read_container(blob, *, compressor, max_bytes):\n"
            "    '''Not in this program.'''\n"
            "    raise ArtifactError('artifact', 'is no container of ours', 'read it with the program that wrote it')\n"
        ),
        Definition("recur.quantize.plan", "_quantize"): "def _quantize(job, W, hessian, cfg):\n    raise AssertionError\n",
    },
    "prune": {
        Definition("recur.artifact.container", "read_container"): (
            "def read_container(blob, *, max_bytes):\n"
            "    '''Not in this program.'''\n"
            "    raise ArtifactError('artifact', 'is no container of this recipe', 'read it with the program that wrote it')\n"
        ),
        Definition("recur.artifact.decode", "_grid"): "def _grid(*parts):\n    raise AssertionError\n",
    },
}
"""What a program of a way of fitting never comes to: the other container, and codes of the other kind."""
