"""What people do with alerts from a terminal."""
