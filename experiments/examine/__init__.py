"""What is measured of a trained network besides its accuracy, chapter by chapter."""
