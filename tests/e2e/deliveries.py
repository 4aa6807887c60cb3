"""From a price to a program's door: webhooks that arrive signed, again after failures and kills, once more when asked, and shown as they went."""

import datetime
import os
import re
import secrets
import subprocess
import threading

import client
import stack
import webhooks
from harness import ROOT, await_true, expect, expect_equal, meshes, refused, timestamp

# The second attempt is 5 s after the first, the third a minute after that.
RETRY_S = 20
HOLD_S = 60


class Desk:
    """A user with a symbol of their own, an alert that every second price meets, and a receiver of webhooks."""

    def __init__(self, world, receiver):
        self.world = world
        self.receiver = receiver
        mesh = world.start()
        if mesh.fetcher_settings["SOURCE"] != "publish":
            mesh.restart("fetcher", {"SOURCE": "publish"})
        _, self.key = world.user("Desk")
        self.symbol = f"DESK{secrets.token_hex(5).upper()}"
        self.call("user", "FollowTicker", {"parent": "users/me", "symbol": self.symbol}, timeout_s=20)
        made = self.call("destination", "CreateDestination", {"parent": "users/me", "destination": {
            "display_name": "desk", "webhook": {"url": receiver.url}}})
        receiver.secret = made["secret"]
        self.destination = made["destination"]["name"]
        await_true("the webhook's verification", lambda: self.shown()["state"] == "STATE_ACTIVE", RETRY_S)
        alert = {"symbol": self.symbol, "trigger_policy": "TRIGGER_POLICY_REPEAT", "note": "desk",
                 "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "200"}}}
        self.alert = self.call("alert", "CreateAlert", {"parent": "users/me", "alert": alert}, timeout_s=20)["name"]
        world.await_applied(self.key)

    def call(self, service, method, request, **options):
        return self.world.call(service, method, request, self.key, **options)

    def shown(self):
        return self.call("destination", "GetDestination", {"name": self.destination})

    def trigger(self, *prices):
        """Each price, after one that makes the alert ready again."""
        quotes = [{"symbol": self.symbol, "price": price, "event_time": timestamp(), "session": "SESSION_REGULAR"}
                  for wanted in prices for price in ("100", wanted)]
        outcomes = self.world.call("ticker", "PublishQuotes", {"quotes": quotes}, self.world.mesh.admin_key)["outcomes"]
        expect_equal({outcome["verdict"] for outcome in outcomes}, {"VERDICT_ACCEPTED"}, "what became of the prices")

    def deliveries(self, **filters):
        """Of notifications, newest first."""
        listed = self.world.mesh.client.list_all("destination", "ListDeliveries", "deliveries", {"parent": "users/me", **filters}, self.key)
        return [delivery for delivery in listed if delivery["kind"] == "KIND_NOTIFICATION"]

    def succeeded(self):
        """How many did; none that is known of while the notifier is away."""
        try:
            return len(self.deliveries(state="STATE_SUCCEEDED"))
        except client.CallError as error:
            expect_equal(error.code, "UNAVAILABLE", f"the code of «{error}»")
            return 0

    def delivery(self, name):
        return self.call("destination", "GetDelivery", {"name": name})

    def await_state(self, name, state, timeout_s=RETRY_S):
        await_true(f"the delivery's {state}", lambda: self.delivery(name)["state"] == state, timeout_s)
        return self.delivery(name)


def arrives(world):
    with webhooks.Receiver() as receiver:
        desk = Desk(world, receiver)
        desk.trigger("201.5")
        message = receiver.received.get(timeout=RETRY_S)
        data = message.content["data"]
        expect_equal(message.type, "alert.triggered", "the type")
        expect_equal((data["symbol"], data["price"], data["note"], data["alert"]), (desk.symbol, "201.5", "desk", desk.alert), "what it says")
        listed = desk.deliveries(destination=desk.destination)
        expect_equal(len(listed), 1, "deliveries")
        delivery = desk.await_state(listed[0]["name"], "STATE_SUCCEEDED")
        expect_equal((delivery["webhook_id"], delivery["attempt_count"]), (message.id, 1), "id and attempts")
        attempt = delivery["attempts"][0]
        expect_equal((attempt["number"], attempt["http_status"], attempt.get("error", "")), (1, 204, ""), "the attempt")
        names = [one["name"] for one in desk.deliveries(notification=data["notification"])]
        expect_equal(names, [delivery["name"]], "the notification's deliveries")
        expect("last_success_time" in desk.shown(), "the destination does not know of its success")
        test = desk.call("destination", "SendTestNotification", {"name": desk.destination})
        expect_equal(receiver.received.get(timeout=RETRY_S).type, "notification.test", "the test's type")
        desk.await_state(test["name"], "STATE_SUCCEEDED")
        _, other = world.user()
        with refused("NOT_FOUND"):
            world.call("destination", "GetDelivery", {"name": delivery["name"]}, other)
        expect_equal(receiver.refused, 0, "refused")
        expect("/hook" not in str(desk.shown()), f"the whole URL is shown: {desk.shown()}")


def is_tried_again(world):
    with webhooks.Receiver() as receiver:
        desk = Desk(world, receiver)
        receiver.status = 503
        desk.trigger("201")
        await_true("a failed attempt", lambda: [one for one in desk.deliveries() if one.get("attempt_count")], RETRY_S)
        name = desk.deliveries(state="STATE_QUEUED")[0]["name"]
        failed = desk.await_state(name, "STATE_QUEUED")
        expect("503" in failed["last_error"] and failed["attempts"][0]["http_status"] == 503, f"the failed attempt is not shown: {failed}")
        expect("next_attempt_time" in failed, "nobody knows when it is tried again")
        with refused("FAILED_PRECONDITION", "DELIVERY_QUEUED"):
            desk.call("destination", "ReplayDelivery", {"name": name})
        receiver.status = 204
        message = receiver.received.get(timeout=RETRY_S)
        delivery = desk.await_state(name, "STATE_SUCCEEDED")
        expect_equal((delivery["webhook_id"], len(delivery["attempts"])), (message.id, 2), "id and attempts")
        desk.call("destination", "ReplayDelivery", {"name": name})
        expect_equal(receiver.received.get(timeout=RETRY_S).id, message.id, "the id of a replay")
        expect_equal(desk.await_state(name, "STATE_SUCCEEDED")["attempt_count"], 3, "attempts with the replay's")


def outlives_the_notifier(world):
    """It is killed while attempts are under way: each notification arrives, under one id however often."""
    reached, released = threading.Event(), threading.Event()

    def hold(_message):
        if sum(receiver.counts.values()) >= 3:
            reached.set()
            released.wait(HOLD_S)

    count = 20
    with webhooks.Receiver(on_message=hold) as receiver:
        try:
            desk = Desk(world, receiver)
            desk.trigger(*(str(201 + place) for place in range(count)))
            expect(reached.wait(RETRY_S), "no webhook came")
            world.mesh.services["notifier"].kill()
            world.mesh.services["notifier"].start()
        finally:
            released.set()
        await_true("all deliveries' success", lambda: desk.succeeded() == count, 90)
        ids = [delivery["webhook_id"] for delivery in desk.deliveries()]
        expect_equal(len(set(ids)), count, "ids of the deliveries")
        expect_equal(set(receiver.counts), set(ids), "ids that came")
        expect(sum(receiver.counts.values()) > count, "nothing came twice: the notifier was not killed in between")


class Place:
    """Another destination of the desk's user, with a receiver of its own."""

    def __init__(self, desk, receiver, is_default=False):
        self.desk, self.receiver = desk, receiver
        made = desk.call("destination", "CreateDestination", {"parent": "users/me", "destination": {
            "display_name": f"place {receiver.port}", "is_default": is_default, "webhook": {"url": receiver.url}}})
        receiver.secret = made["secret"]
        self.name = made["destination"]["name"]
        await_true("the webhook's verification", lambda: self.state() == "STATE_ACTIVE", RETRY_S)

    def state(self):
        return self.desk.call("destination", "GetDestination", {"name": self.name})["state"]


def next_of(receiver, message_type):
    """The next message of this type; others are passed over."""
    while True:
        message = receiver.received.get(timeout=RETRY_S)
        if message.type == message_type:
            return message


def expect_quiet(desk, receiver, notification):
    """It was not sent this notification, which is known by what has become of it elsewhere."""
    sent = [one["destination"] for one in desk.deliveries(notification=notification)]
    expect(receiver.received.empty(), f"{receiver.url} got something, too: {sent}")
    return sent


def goes_where_the_alert_says(world):
    """To a named destination alone, to none, and to the defaults once none of the named ones is left."""
    with webhooks.Receiver() as usual, webhooks.Receiver() as other:
        desk = Desk(world, usual)
        place = Place(desk, other)
        # Each is told of the other, if it was there before.
        expect_equal(next_of(usual, "destination.verified").content["data"]["destination"], place.name, "who was verified")

        def route(delivery, *destinations, critical=False):
            changed = desk.call("alert", "UpdateAlert", {
                "alert": {"name": desk.alert, "delivery": delivery, "destinations": list(destinations), "critical": critical},
                "update_mask": "delivery,destinations,critical"}, timeout_s=20)
            expect_equal((changed["delivery"], changed.get("destinations", [])), (delivery, list(destinations)), "the alert's delivery")
            world.await_applied(desk.key)
            return changed

        armed = route("DELIVERY_NAMED", place.name, critical=True)
        desk.trigger("201")
        data = next_of(other, "alert.triggered").content["data"]
        expect_equal((data["price"], data["critical"], data["rerouted"]), ("201", True, False), "what the named one got")
        expect_equal(expect_quiet(desk, usual, data["notification"]), [place.name], "where it went")

        with refused("INVALID_ARGUMENT", "UNKNOWN_DESTINATION"):
            route("DELIVERY_NAMED", f"users/me/destinations/{'0' * 8}-0000-4000-8000-{'0' * 12}")

        route("DELIVERY_NONE")
        desk.trigger("202")
        listed = await_true("the notification", lambda: [
            one for one in world.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, desk.key)
            if one.get("price") == "202"])
        expect_equal(desk.deliveries(notification=listed[0]["name"]), [], "deliveries of what goes nowhere")

        route("DELIVERY_NAMED", place.name)
        desk.call("destination", "DeleteDestination", {"name": place.name})
        desk.trigger("203")
        data = next_of(usual, "alert.triggered").content["data"]
        expect_equal((data["price"], data["rerouted"]), ("203", True), "what the default one got")
        expect("do not exist any more" in data["text"], f"it does not say why it came: {data['text']}")
        expect_equal(expect_quiet(desk, other, data["notification"]), [desk.destination], "where it went")
        # Nothing is lost or repeated by the changes.
        shown = desk.call("alert", "GetAlert", {"name": desk.alert})
        expect_equal((shown["trigger_count"], shown["revision"] > armed["revision"]), ("3", True), "triggers and revisions")


def a_disabled_destination_is_told_of(world):
    """One that answers 410 is disabled: the others are told, the lists are, and it happens once."""
    with webhooks.Receiver() as usual, webhooks.Receiver() as other:
        desk = Desk(world, usual)
        place = Place(desk, other)
        next_of(usual, "destination.verified")
        usual.status = 410
        desk.trigger("201")
        message = next_of(other, "destination.disabled")
        expect_equal(message.content["data"]["destination"], desk.destination, "who was disabled")
        expect_equal((desk.shown()["state"], desk.shown()["disable_reason"]), ("STATE_DISABLED", "DISABLE_REASON_GONE"), "the destination")
        notices = [one for one in world.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, desk.key)
                   if one["kind"] == "KIND_DESTINATION"]
        # Newest first: disabled, and both verified.
        expect_equal([one["destination"] for one in notices], [desk.destination, place.name, desk.destination], "notifications of destinations")
        expect("disabled" in notices[0]["summary"], f"it does not say what has happened: {notices[0]['summary']}")
        expect_equal([one["destination"] for one in desk.deliveries(notification=notices[0]["name"])], [place.name], "where it went")
        expect_equal(notices[0]["name"], message.content["data"]["notification"], "the notification that was sent")


def held_of(desk, count):
    """What is held for the desk's destination, once there is so much."""
    await_true(f"{count} held deliveries", lambda: len(desk.deliveries(state="STATE_HELD")) == count, RETRY_S)
    return desk.deliveries(state="STATE_HELD")


def expect_digest(desk, message, held):
    """It stands for these, and comes once."""
    data = message.content["data"]
    expect_equal((data["folded_count"], data["destination"]), (len(held), desk.destination), "what the digest stands for")
    covered = desk.deliveries(state="STATE_DIGESTED")
    expect_equal({one["name"] for one in covered}, {one["name"] for one in held}, "what was digested")
    expect_equal({one["digest"] for one in covered}, {data["notification"]}, "the digest of what was held")
    listed = [one for one in desk.world.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, desk.key)
              if one["kind"] == "KIND_DIGEST"]
    expect_equal([one["name"] for one in listed], [data["notification"]], "digests")
    expect_equal(desk.deliveries(state="STATE_HELD"), [], "what is still held")
    return data


def quiet_hours_end_in_one_digest(world):
    """Triggers are held, a critical one passes, and what was held comes once, as one message."""
    with webhooks.Receiver() as receiver:
        desk = Desk(world, receiver)
        now = datetime.datetime.now(datetime.UTC)
        quiet = {"start_time": f"{now - datetime.timedelta(hours=1):%H:%M}", "end_time": f"{now + datetime.timedelta(hours=3):%H:%M}"}
        name = "users/me/notificationSettings"
        settings = desk.call("notifier", "UpdateNotificationSettings", {"settings": {"name": name, "time_zone": "UTC", "quiet_hours": [quiet]}})
        desk.trigger("201", "202", "203")
        held = held_of(desk, 3)
        expect_equal({one["hold_reason"] for one in held}, {"HOLD_REASON_QUIET_HOURS"}, "why")
        expect_equal({one["next_attempt_time"][11:16] for one in held}, {quiet["end_time"]}, "until when")
        with refused("FAILED_PRECONDITION", "DELIVERY_QUEUED"):
            desk.call("destination", "ReplayDelivery", {"name": held[0]["name"]})
        desk.call("alert", "UpdateAlert", {"alert": {"name": desk.alert, "critical": True}, "update_mask": "critical"}, timeout_s=20)
        world.await_applied(desk.key)
        desk.trigger("204")
        expect_equal(next_of(receiver, "alert.triggered").content["data"]["price"], "204", "what passed")
        with refused("ABORTED", "ETAG_MISMATCH"):
            desk.call("notifier", "UpdateNotificationSettings", {"settings": {"name": name, "etag": "x", "time_zone": "CET"}})
        desk.call("notifier", "UpdateNotificationSettings",
                  {"settings": {"name": name, "etag": settings["etag"]}, "update_mask": "quietHours"})
        data = expect_digest(desk, receiver.received.get(timeout=RETRY_S), held)
        expect_equal(data["summary"].split(":")[0], "3 notifications held in quiet hours", "what it says")
        # One of them is wanted all the same.
        desk.call("destination", "ReplayDelivery", {"name": held[-1]["name"]})
        expect_equal(next_of(receiver, "alert.triggered").content["data"]["price"], "201", "what was replayed")
        expect(receiver.received.empty(), "more came")


def too_many_come_as_a_digest(world):
    """So many one by one, the rest when the minute ends."""
    with webhooks.Receiver() as receiver:
        desk = Desk(world, receiver)
        desk.call("destination", "UpdateDestination", {"destination": {"name": desk.destination, "notifications_per_minute_max": 2}})
        desk.trigger("201", "202", "203", "204", "205")
        for price in ("201", "202"):
            expect_equal(next_of(receiver, "alert.triggered").content["data"]["price"], price, "what came by itself")
        held = held_of(desk, 3)
        expect_equal({one["hold_reason"] for one in held}, {"HOLD_REASON_RATE"}, "why")
        expect_digest(desk, receiver.received.get(timeout=60 + RETRY_S), held)


def secrets_rotate(world):
    """What is sent passes by the old secret and by the new one."""
    with webhooks.Receiver() as receiver:
        desk = Desk(world, receiver)
        rotated = desk.call("destination", "RotateDestinationSecret", {"name": desk.destination})
        expect("previous_secret_expire_time" in rotated["destination"]["webhook"], "the old secret's time is not shown")
        with refused("FAILED_PRECONDITION", "SECRET_ROTATING"):
            desk.call("destination", "RotateDestinationSecret", {"name": desk.destination})
        for secret in (receiver.secret, rotated["secret"]):
            receiver.secret = secret
            desk.call("destination", "SendTestNotification", {"name": desk.destination})
            expect_equal(receiver.received.get(timeout=RETRY_S).type, "notification.test", "what came")
        expect_equal(receiver.refused, 0, "refused")


def the_readme(world):
    """Its three commands, as they stand there, and then a test notification."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## A webhook in three commands", 1)[1]
    lines = re.search(r"^```sh\n(.*?)^```$", text, re.M | re.S).group(1).splitlines()
    expect_equal(len(lines), 3, "commands")
    port = stack.free_port()
    receive_here = f"stockalert receive --address 127.0.0.1:{port}"
    create, receive, listing = (line.replace("127.0.0.1:3000", f"127.0.0.1:{port}").replace("stockalert receive", receive_here)
                                for line in lines)
    mesh = world.start()
    _, key = world.user("Reader")
    env = {**{name: value for name, value in os.environ.items() if not name.startswith("STOCKALERT_")}, **mesh.operator_env(),
           "STOCKALERT_API_KEY": key, "HOME": str(world.folder),
           "PATH": f"{meshes.binary('stockalert').parent}:{os.environ['PATH']}"}

    def run(command):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        expect_equal(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    made = run(create)
    secret = re.search(r"whsec_[A-Za-z0-9+/=]{40,}", made).group(0)
    expect("UNVERIFIED" in made, f"verified, and nobody is there: {made}")
    command = receive.replace("whsec_...", secret)
    expect(command != receive, f"no place for the secret in {receive}")
    with subprocess.Popen(["bash", "-c", f"exec env {command}"], env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            await_true("the verification", lambda: "ACTIVE" in run(listing).replace("UNVERIFIED", ""), 90)
            told = run("stockalert destination test " + re.search(r"destination (\S+)", made).group(1))
            expect("SUCCEEDED" in told and "✓" in told, told)
            shown = [receiver.stdout.readline(), receiver.stdout.readline()]
            expect("are shown until interrupted" in shown[0] and shown[1].startswith("notification.test"), f"the test did not come: {shown}")
        finally:
            receiver.kill()


CASES = [("deliveries/arrives", arrives), ("deliveries/is tried again", is_tried_again), ("deliveries/outlives the notifier", outlives_the_notifier),
         ("deliveries/where the alert says", goes_where_the_alert_says),
         ("deliveries/a disabled destination", a_disabled_destination_is_told_of),
         ("deliveries/quiet hours", quiet_hours_end_in_one_digest), ("deliveries/too many", too_many_come_as_a_digest),
         ("deliveries/secrets rotate", secrets_rotate), ("deliveries/the README", the_readme),
         ("deliveries/audited", lambda world: world.audit())]
