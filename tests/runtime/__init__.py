"""Runtime on virtual time and in-memory storage."""
