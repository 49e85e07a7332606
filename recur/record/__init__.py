"""Results, attempts, reports."""
