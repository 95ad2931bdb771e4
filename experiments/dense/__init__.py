"""Detection and segmentation: what a trained network is worth as the beginning of something else."""
