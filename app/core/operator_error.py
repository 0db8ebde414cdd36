"""What an operator has to mend before a command can do its work."""


class OperatorError(Exception):
    """The message says what is wrong and what to do; it is printed without a traceback."""
