"""`./inv nightly`: builds what changed, sends every bundle to every fit device of its target, judges what came back."""
