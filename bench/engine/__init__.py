"""Runs methods: requests -> plan -> workers -> trials; trains references; hands results to a keeper."""
