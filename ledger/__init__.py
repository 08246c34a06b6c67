"""The books: money, and every movement of it as balanced entries. Imports nothing of ours."""
