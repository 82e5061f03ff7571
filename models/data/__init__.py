"""Data sets: each module has `load(source)`, which gives the parts, and `digest()`, which names the content without loading it."""

SHIPPED = {"fashion-mnist": "models.data.fashion_mnist", "digits": "models.data.digits"}
