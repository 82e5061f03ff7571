"""From a torch module to a file that a runtime loads."""
