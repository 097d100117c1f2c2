"""What tests of polling have in common: settings that are fast, and the three places where a verdict is told."""
import json

from listener import stream_of
from waiting import wait_for

# Quick enough that a verdict takes a moment, slow enough for a machine that is busy.
QUICK = {"POLL_INTERVAL": 0.3, "POLL_FAST_INTERVAL": 0.1, "POLL_TIMEOUT": 1, "POLL_FALL": 2, "POLL_RISE": 2,
         "POLL_CONCURRENCY": 64, "LOG_LEVEL": "debug"}


def enrol(manager, worker, url, **fields):
    answer = manager.post("/register", {"id": worker, "url": url, **fields})
    assert answer.status_code == 200, answer.text


def last_transition(manager, worker):
    return manager.get(f"/workers/{worker}/timeline").json()["transitions"][-1]


def wait_outcome(manager, worker, outcome, code=0):
    """Waits for a poll that ended so, and for nothing else than such polls: what it was, not what became of it."""
    wait_for(f"{worker} was polled: {outcome}",
             lambda: manager.events("polled", worker=worker, outcome=outcome, code=str(code)))
    others = {(line["outcome"], line["code"]) for line in manager.events("polled", worker=worker)} - {(outcome, str(code))}
    assert not others, f"{worker} was also polled with {others}"


def assert_verdict(manager, redis_server, worker, ready, health, status, serving, code):
    """The row, the last event and the timeline's evidence agree."""
    row = manager.wait_row(worker, ready=ready, health=health, status=status, serving=serving)
    told = {"ready": ready, "health": health, "status": status, "serving": serving}
    wait_for("the hash says so too", lambda: {key: json.loads(redis_server.hash()[worker])[key] for key in told} == told)
    event = wait_for("the last event says so", lambda: ([
        event for _, event in stream_of(redis_server) if event["server_id"] == worker] or [None])[-1])
    assert {key: event[key] for key in told} == told, event
    assert event["reason"] == "poll"
    last = last_transition(manager, worker)
    assert {key: last[key] for key in told} == told, last
    assert last["evidence"].get("poll_code", 0) == code
    return row
