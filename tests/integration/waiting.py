"""Waiting for conditions: the one place in these tests where time passes on purpose."""
import time

import redis

POLL_S = 0.02
LIMIT_S = 60  # far beyond what anything takes: a limit is for what never happens, not for what is slow


def wait_for(what, probe, limit_s=LIMIT_S):
    """Calls probe until it gives something true, and returns that. Prints how long it took.

    A refused or lost connection counts as "not yet".
    """
    started = time.monotonic()
    while True:
        try:
            seen = probe()
        except (OSError, redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
            seen, last = None, error
        else:
            last = seen
        waited_s = time.monotonic() - started
        if seen:
            print(f"{what}: after {waited_s:.3f} s")
            return seen
        assert waited_s < limit_s, f"waited {limit_s} s in vain for: {what}; last seen: {last!r}"
        time.sleep(POLL_S)


def stopwatch():
    """A function that says how many seconds ago it was made."""
    started = time.monotonic()
    return lambda: time.monotonic() - started
