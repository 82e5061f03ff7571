"""What is deployed: one TOML recipe per model, beside the architectures and the data sets that they name."""
