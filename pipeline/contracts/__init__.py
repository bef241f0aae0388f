"""Contracts: the records of every topic, one module a topic family, and the values they are made of."""
