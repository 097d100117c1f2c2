"""What a subscriber in Redis hears, and workers that give it something to hear."""
import json

from clients import Peer
from waiting import wait_for


class Listener:
    """Subscribes to server:* and, for each message at the moment it comes, looks up the row it speaks of."""

    def __init__(self, redis_server):
        self.redis = redis_server
        self.heard = []
        self.renew()

    def renew(self):
        """Subscribes, also anew when Redis was away: what was heard before stays."""
        self.pubsub = self.redis.client.pubsub(ignore_subscribe_messages=True)
        self.pubsub.psubscribe("server:*")
        wait_for("the subscription stands", lambda: self.redis.client.pubsub_numpat() > 0)

    def listen(self):
        message = self.pubsub.get_message()
        if message is None:
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

    def channels(self, worker):
        while self.listen():
            pass
        return [channel for channel, event, _, _ in self.heard if event["server_id"] == worker]

    def stories(self):
        """worker → [(channel, reason)], of all that were spoken of."""
        while self.listen():
            pass
        stories = {}
        for channel, event, _, _ in self.heard:
            stories.setdefault(event.get("server_id"), []).append((channel, event.get("reason")))
        return stories


def stream_of(redis_server):
    """[(event as text, event)] of workers:events, oldest first."""
    return [(fields["event"], json.loads(fields["event"])) for _, fields in redis_server.client.xrange("workers:events")]


def serve(manager, worker):
    manager.register(worker)
    peer = Peer(manager, worker)
    peer.beat(status="alive")
    return peer
