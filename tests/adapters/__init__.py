"""Adapters, against the real thing where there is one."""
