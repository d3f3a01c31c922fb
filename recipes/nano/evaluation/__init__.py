"""Evaluation of the embedded model: probes, figures and the model card."""
