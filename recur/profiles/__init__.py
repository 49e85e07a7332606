"""Profiles: one TOML file each, one whole run each."""
