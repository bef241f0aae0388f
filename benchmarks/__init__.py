"""One module a `make bench-NAME`; each shows progress and ends with one line of JSON."""
