"""Redis held against the manager's memory: the hash, and the order of what was told."""
import json

from listener import stream_of
from waiting import wait_for


def wait_whole(manager, redis_server, foreign=()):
    """Waits until the hash is the same bytes as GET /workers, row by row."""
    def whole():
        stored, listed = redis_server.hash(), manager.get("/workers").text
        ours = {worker: row for worker, row in stored.items() if worker not in foreign}
        return sorted(ours) == sorted(json.loads(listed)) and all(f'"{worker}":{row}' in listed
                                                                  for worker, row in ours.items())
    wait_for("the hash is whole", whole)


def gapless(redis_server):
    """The stream's events, after a look at their order: no epoch before an earlier one, and in each epoch every seq once,
    one after the other, from wherever the stream begins."""
    events = [event for _, event in stream_of(redis_server)]
    for before, after in zip(events, events[1:]):
        if after["epoch"] == before["epoch"]:
            assert after["seq"] == before["seq"] + 1, f"{after} follows {before}"
        else:
            assert after["epoch"] > before["epoch"] and after["seq"] == 1, f"{after} follows {before}"
    return events
