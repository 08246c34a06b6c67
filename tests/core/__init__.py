"""The rules of core, as tables and properties."""
