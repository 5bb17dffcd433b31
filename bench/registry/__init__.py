"""Plugins: found from package metadata, loaded by name, configured by a spec."""
