"""Alembic's folder: ``versions`` holds one file a migration, oldest first by number."""
