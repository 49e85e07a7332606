"""Skip connections by recipe name (one module each)."""
