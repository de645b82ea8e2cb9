"""The client's tests: ``python3 -m unittest discover -s clients/python -t clients/python``."""
