"""To what models go: one TOML file per kind of device, and the schema that reads them."""
