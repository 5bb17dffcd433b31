"""Child processes: how they are started, guarded, watched and asked (`process`), and what they do (`loop` and the others)."""
