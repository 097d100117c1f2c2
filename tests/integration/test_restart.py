"""The manager is killed, or stalled, under 200 beating workers: nobody who is there is announced down for it, and who
never comes back is announced once. Each is looked at in GET /workers, in the hash and in what listeners hear."""
import json

import pytest

from fleet import Fleet
from listener import Listener
from mirrored import gapless, wait_whole
from waiting import stopwatch, wait_for

WORKERS = 200
TIMEOUT_S = 3
GRACE_S = 9


@pytest.fixture
def manager(scene, redis_server):
    return scene.manager(redis_server, HEARTBEAT_TIMEOUT=TIMEOUT_S, RESTART_GRACE=GRACE_S, DISCONNECT_GRACE=1)


@pytest.fixture
def fleet(manager, redis_server):
    with Fleet(manager, WORKERS) as fleet:
        fleet.wait_beating()
        wait_serving(manager, fleet.workers)
        wait_whole(manager, redis_server)
        yield fleet
        assert not fleet.refusals


def wait_serving(manager, workers):
    def all_serve():
        rows = manager.rows()
        short = [worker for worker in workers if not (rows.get(worker) and rows[worker]["status"] == "alive" and
                                                      rows[worker]["serving"] and "unverified" not in rows[worker])]
        return not short
    wait_for(f"{len(workers)} workers are alive and serve", all_serve)


def pass_time(seconds, why):
    watch = stopwatch()
    wait_for(why, lambda: watch() > seconds)


def assert_in_hash(redis_server, workers, **fields):
    stored = redis_server.hash()
    for worker in workers:
        row = json.loads(stored[worker])
        assert {name: row.get(name) for name in fields} == fields, row


def told_beside_up(listener):
    """What listeners heard, without those who were only announced up again: who was back before its row was read."""
    return {worker: story for worker, story in listener.stories().items()
            if set(story) != {("server:up", "beat")}}


@pytest.mark.parametrize("down_s", [1, TIMEOUT_S + 1])
def test_killed_and_restarted(manager, fleet, redis_server, down_s):
    lost, late = fleet.workers[:3], fleet.workers[3:30]
    there = fleet.workers[3:]
    before = gapless(redis_server)
    listener = Listener(redis_server)
    epoch = manager.row(there[0])["epoch"]

    manager.kill()
    fleet.vanish(*lost, *late)
    pass_time(down_s, f"the manager was down for {down_s} s")
    manager.start()
    since_start = stopwatch()
    manager.wait_answer("/readyz")
    row = manager.row(lost[0])
    assert row["serving"] and row["unverified"] and row["announced"] == "up"
    # They come back after more than the timeout, within the grace.
    wait_for("the timeout is over", lambda: since_start() > TIMEOUT_S + 0.5)
    fleet.come_back(*late)
    wait_serving(manager, there)
    # Who is lost is up all the while, to everybody.
    wait_whole(manager, redis_server)
    assert_in_hash(redis_server, lost, serving=True, unverified=True)

    for worker in lost:
        row = manager.wait_row(worker, status="not_responding", serving=False, announced="down", unverified=None)
        assert row["reason"] == "restart_grace"
        told, = manager.events("worker_status", worker=worker, to="not_responding")
        assert float(told["silence"]) >= GRACE_S, "counted from when it was restored"
    wait_serving(manager, there)
    wait_whole(manager, redis_server)
    assert_in_hash(redis_server, lost, status="not_responding", serving=False, reason="restart_grace")
    assert_in_hash(redis_server, there, status="alive", serving=True, announced="up")

    events = gapless(redis_server)
    assert events[:len(before)] == before
    wait_for("all of them were announced", lambda: set(lost) <= set(listener.stories()))
    assert told_beside_up(listener) == {worker: [("server:down", "restart_grace")] for worker in lost}
    assert {event["epoch"] for event in events} == {epoch, manager.row(lost[0])["epoch"]}
    of_those_there = [event for event in events[len(before):] if event["server_id"] in there]
    assert not [event for event in of_those_there if event["status"] == "not_responding" or event["reason"] == "restart_grace"]


def test_stopped_in_good_order_and_restarted(manager, fleet, redis_server):
    """It says goodbye to its workers, who are not gone for that."""
    before = gapless(redis_server)
    listener = Listener(redis_server)
    manager.stop()
    wait_for("all were told to connect again", lambda: len(fleet.closes) == WORKERS)
    assert {code for _, code in fleet.closes} == {1012}
    assert gapless(redis_server) == before
    assert_in_hash(redis_server, fleet.workers, status="alive", serving=True, announced="up")
    manager.start().wait_answer("/readyz")
    fleet.wait_beating()
    wait_serving(manager, fleet.workers)
    wait_whole(manager, redis_server)
    gapless(redis_server)
    assert told_beside_up(listener) == {}


def test_restarted_while_redis_is_away(manager, fleet, redis_server):
    """Who is back before the rows can be read is not missed, and who is not has its grace from then on."""
    lost = fleet.workers[:3]
    listener = Listener(redis_server)
    redis_server.freeze()
    manager.kill()
    fleet.vanish(*lost)
    manager.start()
    fleet.wait_beating(WORKERS - len(lost))
    assert manager.get("/readyz").status_code == 503
    assert not set(lost) & set(manager.rows())
    redis_server.thaw()
    manager.wait_answer("/readyz")
    for worker in lost:
        manager.wait_row(worker, serving=True, unverified=True)
    for worker in lost:
        row = manager.wait_row(worker, status="not_responding", serving=False)
        assert row["reason"] == "restart_grace"
    wait_serving(manager, fleet.workers[3:])
    wait_whole(manager, redis_server)
    gapless(redis_server)
    wait_for("all of them were announced", lambda: set(lost) <= set(listener.stories()))
    assert told_beside_up(listener) == {worker: [("server:down", "restart_grace")] for worker in lost}


def test_killed_again_and_again(manager, fleet, redis_server):
    """Each life is shorter than anybody's timeout, and some are killed before they have read the hash."""
    listener = Listener(redis_server)
    for back in (0, WORKERS / 4, 0, WORKERS / 2):
        manager.kill()
        manager.start()
        wait_for("some are back", lambda: fleet.beating() >= back)  # pylint: disable=cell-var-from-loop
    manager.wait_answer("/readyz")
    fleet.wait_beating()
    wait_serving(manager, fleet.workers)
    wait_whole(manager, redis_server)
    gapless(redis_server)
    assert told_beside_up(listener) == {}


def test_stalled_for_three_timeouts(manager, fleet, redis_server):
    before = gapless(redis_server)
    listener = Listener(redis_server)
    manager.freeze()
    pass_time(3 * TIMEOUT_S, "the manager was stopped for three timeouts")
    manager.thaw()
    stall = wait_for("it notices its own absence", lambda: manager.events("manager_stall"))[0]
    print(f"manager_stall gap={stall['gap']}")
    assert float(stall["gap"]) > 2 * TIMEOUT_S, "its timer comes once a second at least"
    wait_serving(manager, fleet.workers)
    # A whole timeout later nobody is missed either.
    pass_time(TIMEOUT_S + 0.5, "another timeout is over")
    wait_serving(manager, fleet.workers)
    wait_whole(manager, redis_server)
    assert_in_hash(redis_server, fleet.workers, status="alive", serving=True)
    assert gapless(redis_server) == before
    assert listener.stories() == {}
    assert manager.get("/readyz").status_code == 200
