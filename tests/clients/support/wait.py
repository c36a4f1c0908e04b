"""Waiting for a condition, never for a time."""

import time


def until(what: str, holds, seconds: float = 15.0, every: float = 0.01):
    """Calls `holds` until it answers something true, and returns that. Fails, naming `what`, when the time is over."""
    end = time.monotonic() + seconds
    while True:
        answer = holds()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what} (last answer: {answer!r})")
        time.sleep(every)
