"""Tasks: data with splits, a network, a recipe and a forget set."""
