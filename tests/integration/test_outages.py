"""Redis goes away, or refuses, in every way it knows, under beating workers. Each time the same must hold: memory goes on
as if nothing were, nobody hears of a state that is not stored, and afterwards the hash is whole, every event is told once,
and what is not ours is as it was."""
import os
import shutil
import socket

import pytest
import redis

from fleet import Fleet
from listener import Listener
from mirrored import gapless, wait_whole
from processes import free_port
from waiting import wait_for

WORKERS = 40
HERD_TIMEOUT_S = 60  # no slow machine makes any of them late; the one who freezes gets a short one at that moment
FOREIGN = {"hello": "world", "half": '{"worker_id":', "list": "[1,2]", "": "empty name",
           "theirs": '{"worker_id":"theirs","worker_name":"T","host":"h","port":1,"status":"odd","last_heartbeat":null}'}
HELD = {"min-replicas-to-write": 1}  # started so, Redis takes no writes until it is told to


class Outage:
    """begin() takes Redis away, end() brings it back; both see to it that the listener misses nothing."""
    keeps_data = True
    rewritten = False  # afterwards the manager must write all rows again; None: it may
    refusal = None  # what its answers begin with, if it answers at all
    settings = {}

    def __init__(self, server, listener):
        self.server, self.listener = server, listener

    def come_back(self, **settings):
        """Holds writes back until the listener has subscribed anew."""
        self.server.settings.update({**HELD, **settings})
        self.server.start()
        self.listener.renew()
        self.server.client.config_set("min-replicas-to-write", 0)


class KilledWithData(Outage):
    settings = {"appendonly": "yes", "appendfsync": "always"}

    def begin(self):
        self.server.kill()

    def end(self):
        self.come_back()


class KilledWithOlderData(Outage):
    """It comes back as it was before the last changes: that may not pass for the present."""
    rewritten = True

    def begin(self):
        self.server.client.save()
        before = self.batch()
        wait_for("more was written", lambda: self.batch() > before)
        self.server.kill()

    def batch(self):
        return int(self.server.client.hget("workers:meta", "m1:batch"))

    def end(self):
        self.come_back()


class KilledAndEmpty(Outage):
    keeps_data = False
    rewritten = True

    def begin(self):
        self.server.kill()

    def end(self):
        self.come_back()


class Loading(Outage):
    """It answers, but for a long time only that it is reading its dump."""
    refusal = "LOADING"
    rewritten = None
    settings = {"loading-process-events-interval-bytes": 1024}

    def begin(self):
        self.server.client.mset({f"filler-{place}": os.urandom(100).hex() for place in range(6000)})
        self.server.client.save()
        self.server.kill()
        self.server.settings.update({**HELD, "key-load-delay": 10000})
        self.server.launch()
        wait_for("it is loading", lambda: self.info()["loading"])

    def info(self):
        return self.server.client.info("persistence")

    def end(self):
        assert self.info()["loading"], "it was loading all the while"
        self.server.client.config_set("key-load-delay", 0)
        wait_for("it is loaded", lambda: not self.info()["loading"])
        self.listener.renew()
        self.server.client.config_set("min-replicas-to-write", 0)


class Stopped(Outage):
    def begin(self):
        self.server.freeze()

    def end(self):
        self.server.thaw()


class ReadOnly(Outage):
    refusal = "READONLY"

    def begin(self):
        self.server.client.replicaof("127.0.0.1", 1)

    def end(self):
        self.server.client.replicaof("NO", "ONE")


class OutOfMemory(Outage):
    refusal = "OOM"

    def begin(self):
        self.server.client.config_set("maxmemory", 1)

    def end(self):
        self.server.client.config_set("maxmemory", 0)


class CannotSave(Outage):
    """MISCONF, as on a full disk: its snapshots fail, and so it takes no writes."""
    refusal = "MISCONF"
    settings = {"stop-writes-on-bgsave-error": "yes"}

    def begin(self):
        # A folder where the dump belongs: the snapshot cannot take its place.
        self.obstacle = os.path.join(self.server.settings["dir"], "dump.rdb")
        os.makedirs(os.path.join(self.obstacle, "in the way"))
        self.server.client.config_set("save", "3600 1000000")
        self.snapshot("err")

    def snapshot(self, status):
        self.server.client.bgsave()
        wait_for(f"the snapshot ends: {status}", lambda: self.info()["rdb_last_bgsave_status"] == status)

    def info(self):
        return self.server.client.info("persistence")

    def end(self):
        os.rmdir(os.path.join(self.obstacle, "in the way"))
        os.rmdir(self.obstacle)
        self.snapshot("ok")


class Busy(Outage):
    """BUSY: a script of somebody else runs and runs."""
    refusal = "BUSY"

    def begin(self):
        self.server.client.config_set("busy-reply-threshold", 10)
        self.other = socket.create_connection(("127.0.0.1", self.server.port))
        self.other.sendall(b"EVAL \"while true do end\" 0\r\n")
        wait_for("it is busy", self.is_busy)

    def is_busy(self):
        try:
            return not self.server.client.ping()
        except redis.exceptions.ResponseError as error:
            return str(error).startswith("BUSY")

    def end(self):
        assert self.is_busy(), "it was busy all the while"
        self.server.client.script_kill()
        wait_for("it is not busy any more", lambda: not self.is_busy())
        self.other.close()


OUTAGES = [KilledWithData, KilledWithOlderData, KilledAndEmpty, Loading, Stopped, ReadOnly, OutOfMemory, CannotSave, Busy]


@pytest.fixture(params=OUTAGES, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def wait_serving(manager, workers):
    def all_serve():
        rows = manager.rows()
        return all(rows.get(worker, {}).get("serving") for worker in workers)
    wait_for(f"{len(workers)} workers serve", all_serve)


def start_with(scene, server):
    return scene.manager(server, HEARTBEAT_TIMEOUT=HERD_TIMEOUT_S, DISCONNECT_GRACE=0.3)


def last_seq(manager):
    return max(row["seq"] for row in manager.rows().values())


def wait_for_more_events(manager):
    seq = last_seq(manager)
    wait_for("more happens", lambda: last_seq(manager) > seq)


def fall_silent(manager, fleet, worker):
    """It freezes, with a timeout that is over soon, and is seen to be silent."""
    fleet.freeze(worker)
    manager.register(worker, heartbeat_timeout=0.5)


def scripts_run(server):
    return server.client.info("commandstats")["cmdstat_evalsha"]["calls"]


def assert_state_before_announcement(listener):
    for channel, event, row, _ in listener.heard:
        if channel == "server:removed":
            assert row is None
        else:
            assert (row["epoch"], row["seq"]) >= (event["epoch"], event["seq"]), f"{channel} came before its row"


def test_outage(scene, kind):
    server = scene.redis(**{name.replace("-", "_"): value for name, value in kind.settings.items()})
    manager = start_with(scene, server)
    server.client.hset("workers", mapping=FOREIGN)
    with Fleet(manager, WORKERS) as fleet:
        there_and_back, freezes, vanishes, returns, leaves = fleet.workers[:5]
        fleet.wait_beating()
        wait_serving(manager, fleet.workers)
        fleet.vanish(returns)
        manager.wait_row(returns, serving=False)
        wait_whole(manager, server, FOREIGN)
        before = gapless(server)
        listener = Listener(server)
        outage = kind(server, listener)

        outage.begin()
        # Detection goes on, and each of these is seen in memory.
        fall_silent(manager, fleet, freezes)
        fleet.vanish(vanishes, there_and_back)
        fleet.come_back(returns)
        manager.wait_row(freezes, status="not_responding", serving=False)
        manager.wait_row(vanishes, status="disconnected", serving=False)
        manager.wait_row(there_and_back, serving=False)
        fleet.come_back(there_and_back)
        manager.wait_row(there_and_back, serving=True)
        manager.wait_row(returns, status="alive", serving=True)
        wait_for("readyz says so", lambda: manager.get("/readyz").status_code == 503)
        if kind.refusal:
            wait_for("the log names the cause", lambda: any(line["cause"].startswith(kind.refusal)
                                                            for line in manager.events("redis_refused")))
        else:
            assert not manager.events("redis_refused")
        assert manager.register("newcomer")["persisted"] is False
        if kind in (ReadOnly, OutOfMemory, CannotSave):  # the others cannot be asked
            tried = scripts_run(server)
            wait_for("the manager has tried to tell it", lambda: scripts_run(server) > tried)
            assert listener.stories() == {}, "nobody hears of a state that is not stored"
        fleet.freeze(leaves)
        assert manager.delete(f"/workers/{leaves}").status_code == 200
        outage.end()

        manager.wait_answer("/readyz")
        wait_whole(manager, server, FOREIGN if kind.keeps_data else ())
        rows = server.hash()
        assert leaves not in rows
        if kind.keeps_data:
            assert {field: rows[field] for field in FOREIGN} == FOREIGN
        wait_serving(manager, fleet.workers[5:])
        wait_for("all of them were announced", lambda: len(listener.stories()) >= 5)
        stories = {worker: [channel for channel, _ in story] for worker, story in listener.stories().items()}
        assert stories == {there_and_back: ["server:down", "server:recovery"], freezes: ["server:down"],
                           vanishes: ["server:down"], returns: ["server:recovery"], leaves: ["server:removed"]}
        assert_state_before_announcement(listener)
        events = gapless(server)
        if kind.keeps_data:
            assert events[:len(before)] == before
        if kind.rewritten is not None:
            assert bool(manager.events("redis_rewrite")) == kind.rewritten
        assert events[-1]["seq"] >= last_seq(manager)
        assert len({event["epoch"] for event in events}) == 1
        assert not fleet.refusals


EMPTIED = {"FLUSHALL": [["FLUSHALL"]], "the rows deleted": [["DEL", "workers"]], "meta deleted": [["DEL", "workers:meta"]],
           "a row deleted": [["HDEL", "workers", "w001"]],
           "the rows replaced": [["HSET", "elsewhere", "hello", "world"], ["RENAME", "elsewhere", "workers"]]}


@pytest.mark.parametrize("commands", EMPTIED.values(), ids=EMPTIED.keys())
def test_emptied_without_a_disconnect(scene, redis_server, commands):
    """Also rows of workers that are silent come back; nothing has changed, so nothing is told."""
    manager = start_with(scene, redis_server)
    with Fleet(manager, WORKERS) as fleet:
        silent = fleet.workers[:3]
        fleet.wait_beating()
        for worker in silent:
            fall_silent(manager, fleet, worker)
        for worker in silent:
            manager.wait_row(worker, status="not_responding", serving=False)
        wait_serving(manager, fleet.workers[3:])
        wait_whole(manager, redis_server)
        listener = Listener(redis_server)

        for command in commands:
            redis_server.client.execute_command(*command)
        wait_for("it is noticed", lambda: manager.events("redis_rewrite"))
        wait_whole(manager, redis_server, ("hello",))
        assert len(manager.events("redis_rewrite")) == 1
        assert set(silent) < set(redis_server.hash())
        assert listener.stories() == {}

        fleet.vanish(fleet.workers[3])  # and events flow on
        assert listener.wait_channel("server:down", fleet.workers[3])
        wait_whole(manager, redis_server, ("hello",))
        gapless(redis_server)


def test_absent_at_the_start(scene):
    port = free_port()
    manager = scene.manager(REDIS_PORT=port, HEARTBEAT_TIMEOUT=HERD_TIMEOUT_S, DISCONNECT_GRACE=0.3)
    with Fleet(manager, WORKERS) as fleet:
        freezes, vanishes = fleet.workers[:2]
        fleet.wait_beating()
        wait_serving(manager, fleet.workers)
        fall_silent(manager, fleet, freezes)
        fleet.vanish(vanishes)
        manager.wait_row(freezes, status="not_responding", serving=False)
        manager.wait_row(vanishes, status="disconnected", serving=False)
        assert manager.get("/readyz").status_code == 503

        server = scene.redis(port, **{name.replace("-", "_"): value for name, value in HELD.items()})
        listener = Listener(server)
        server.client.config_set("min-replicas-to-write", 0)
        manager.wait_answer("/readyz")
        wait_whole(manager, server)
        events = gapless(server)
        assert events[0]["seq"] == 1, "what happened before Redis came is told from the start"
        assert events[-1]["seq"] == last_seq(manager)
        wait_for("all of them were announced", lambda: len(listener.stories()) == WORKERS)
        stories = {worker: [channel for channel, _ in story] for worker, story in listener.stories().items()}
        assert stories == {worker: ["server:up"] + (["server:down"] if worker in (freezes, vanishes) else [])
                           for worker in fleet.workers}


@pytest.mark.parametrize("keeps_data", [True, False], ids=["with data", "empty"])
def test_killed_again_and_again(scene, keeps_data):
    """Each time in the middle of what flapping workers give it to write."""
    rounds = 100 if os.environ.get("HB_FULL") else 20 if keeps_data else 5
    server = scene.redis(appendonly="yes", appendfsync="always")
    manager = start_with(scene, server)
    with Fleet(manager, WORKERS) as fleet, Fleet(manager, 10, interval_s=0.03, name="flapping") as flapping:
        fleet.wait_beating()
        flapping.wait_beating()
        listener = Listener(server)
        for _ in range(rounds):
            flapping.flap()
            wait_for_more_events(manager)
            server.kill()
            wait_for("it is noticed", lambda: manager.get("/readyz").status_code == 503)
            wait_for_more_events(manager)
            if not keeps_data:
                shutil.rmtree(os.path.join(server.settings["dir"], "appendonlydir"))
            server.start()
            listener.renew()
            manager.wait_answer("/readyz")
            flapping.settle()
            wait_whole(manager, server)
            listener.stories()
            if not keeps_data:
                gapless(server)
        wait_serving(manager, fleet.workers + flapping.workers)
        wait_whole(manager, server)
        events = gapless(server)
        assert not manager.events("worker_status", to="not_responding")
        assert not fleet.refusals and not flapping.refusals
        if keeps_data:
            assert events[0]["seq"] == 1
            assert not manager.events("redis_rewrite")
            texts = [text for _, _, _, text in listener.heard]
            assert len(texts) == len(set(texts)), "nothing is told twice"
