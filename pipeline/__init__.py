"""How a model gets to a device: recipe and target make a plan, a plan makes artifacts, devices choose."""
