"""Claims about speed and memory, each measured against a named alternative in one run.

``python -m benchmarks`` measures them all and prints one table; ``python -m benchmarks loading``
one of them. Everything is made in a temporary folder: a small miniature, and networks of random
weights of the architecture in config.yaml (weights do not matter to speed).
"""
