"""How a case of the deploy tier says that the machine lacks what it needs."""


class Skip(Exception):
    """The message says what is missing."""
