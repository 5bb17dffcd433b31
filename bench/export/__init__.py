"""What leaves a store: submissions to the NeurIPS 2023 challenge."""
