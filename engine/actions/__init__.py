"""One verb per function: decide, one transaction, call out after commit."""
