"""The servers a newcomer has not got, started for real."""
