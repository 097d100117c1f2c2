"""What a subscriber in Redis hears, and workers that give it something to hear."""
import json

import redis

from clients import Peer
from waiting import wait_for


class Listener:
    """Subscribes to server:* and, for each message at the moment it comes, looks up the row it speaks of."""

    def __init__(self, redis_server):
        self.redis = redis_server
        self.heard = []
        self.ponged = False
        self.renew()

    def renew(self):
        """Subscribes, also anew when Redis was away: what was heard before stays."""
        self.pubsub = self.redis.client.pubsub()
        self.pubsub.psubscribe("server:*")
        wait_for("the subscription stands", lambda: (self.pubsub.get_message() or {}).get("type") == "psubscribe")

    def listen(self):
        """Takes the next message, if there is one; false: there is none now."""
        try:
            message = self.pubsub.get_message()
        except redis.exceptions.ResponseError:
            message = {"type": "error"}  # MISCONF: who cannot save refuses PING too, which is as good an answer
        if message is None or message["type"] != "pmessage":
            self.ponged = self.ponged or message is not None
            return False
        event = json.loads(message["data"])
        row = self.redis.client.hget("workers", event.get("server_id", ""))
        self.heard.append((message["channel"], event, json.loads(row) if row else None, message["data"]))
        return True

    def wait_channel(self, channel, worker):
        def hears():
            while self.listen():
                pass
            return [event for at, event, _, _ in self.heard if at == channel and event["server_id"] == worker]
        return wait_for(f"{channel} of {worker}", hears)

    def catch_up(self):
        """Hears all that was published until now: it comes before the answer to a PING."""
        self.ponged = False
        self.pubsub.ping()

        def at_the_answer():
            while self.listen():
                pass
            return self.ponged
        wait_for("the listener has caught up", at_the_answer)

    def channels(self, worker):
        self.catch_up()
        return [channel for channel, event, _, _ in self.heard if event["server_id"] == worker]

    def stories(self):
        """worker → [(channel, reason)], of all that were spoken of."""
        self.catch_up()
        stories = {}
        for channel, event, _, _ in self.heard:
            stories.setdefault(event.get("server_id"), []).append((channel, event.get("reason")))
        return stories


def stream_of(redis_server):
    """[(event as text, event)] of workers:events, oldest first."""
    return [(fields["event"], json.loads(fields["event"])) for _, fields in redis_server.client.xrange("workers:events")]


def serve(manager, worker, port=9000):
    """Nobody listens on that port, unless another one is given: when its socket breaks, it is known to be gone."""
    manager.register(worker, port)
    peer = Peer(manager, worker)
    peer.beat(status="alive")
    return peer
