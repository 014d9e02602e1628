"""Modules that are written into exports by `standalone`, with the code of the model: they run without Sonoscale."""
