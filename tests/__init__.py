"""Tests, a mirror of the house."""
