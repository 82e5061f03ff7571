"""Network architectures: factories that return an untrained torch module."""
