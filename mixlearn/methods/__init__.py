"""The mixing methods, one file each: a few lines that draw a plan, and the core that applies it."""
