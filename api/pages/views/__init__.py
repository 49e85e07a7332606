"""What the templates draw, computed from the resources: pictures as numbers, tables as rows. Pure functions."""
