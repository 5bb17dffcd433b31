"""From outputs to a board: scorecards, rows, ranks, and whether to believe them."""
