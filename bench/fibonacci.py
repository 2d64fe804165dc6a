"""The task of a published comparison of workflow engines: a Fibonacci number, computed the slow way."""

import sys


def fibonacci(n: int) -> int:
    """Returns the nth Fibonacci number."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


if __name__ == "__main__":
    print(fibonacci(int(sys.argv[1])))
