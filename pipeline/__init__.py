"""How a model gets to a device: recipe and target become a plan, a plan becomes artifacts, devices choose among them."""
