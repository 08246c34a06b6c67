"""The product from outside: processes, ports, kill -9."""
