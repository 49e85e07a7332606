"""What the service knows, on disk: tables, migrations, and the only functions that read or change them."""
