"""The configuration: what a TOML file may say, its checks, its errors, and its JSON schema."""
