"""Arrays that users hold."""
