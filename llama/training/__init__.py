"""Training: configuration, stages, feature cache, trainer, checkpoints and logs of a run."""
