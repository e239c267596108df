"""Networks that are trained and asked side by side; see README.md."""
