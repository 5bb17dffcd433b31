"""The static site: reads a store, writes files."""
