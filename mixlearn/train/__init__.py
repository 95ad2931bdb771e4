"""Training: one loop, schedules, loaders that mix, Lightning, fine-tuning, run records."""
