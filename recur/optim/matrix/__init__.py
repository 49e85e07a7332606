"""Matrix optimizers by recipe name (one module each)."""
