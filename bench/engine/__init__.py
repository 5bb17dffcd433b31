"""Runs methods: plan -> chunks -> executor -> worker -> trial."""
