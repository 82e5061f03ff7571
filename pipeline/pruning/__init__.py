"""Pruning as pure algorithms: no files, no printing. What they decide is a plan that `plan.replay` carries out."""
