"""The face of organizers, operators and door staff."""
