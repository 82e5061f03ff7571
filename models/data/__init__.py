"""Data sets: a module each, whose `load(source)` gives the parts and whose `digest()` names them unloaded."""

SHIPPED = {
    "fashion-mnist": "models.data.fashion_mnist",
    "digits": "models.data.digits",
    "vader-snippets": "models.data.vader",
    "photos": "models.data.photos",
}
