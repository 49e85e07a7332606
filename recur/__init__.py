"""The science of recur: recipe, data, model, optimizers, training, quantization, artifact, evaluation, record."""

__version__ = "0.1.0"
