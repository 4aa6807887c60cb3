"""docs/guide.md: every command as it stands there, and then the prices of its picture, bring the notifications that the picture shows."""

import datetime
import os
import secrets
import subprocess

import guide_pictures
from harness import await_true, expect, expect_equal, meshes


def publish(world, symbol, place, price):
    moment = datetime.datetime.fromtimestamp((guide_pictures.BEGIN_US + place * guide_pictures.MINUTE_US) / 1e6, datetime.UTC)
    quote = {"symbol": symbol, "price": price, "event_time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "session": "SESSION_REGULAR"}
    world.call("ticker", "PublishQuotes", {"quotes": [quote]}, world.mesh.admin_key)


def publishing(world, key):
    """A symbol of its own, whose prices come by PublishQuotes alone."""
    mesh = world.start()
    if mesh.fetcher_settings["SOURCE"] != "publish":
        mesh.restart("fetcher", {"SOURCE": "publish"})
    symbol = f"GUIDE{secrets.token_hex(5).upper()}"
    world.call("user", "FollowTicker", {"parent": "users/me", "symbol": symbol}, key, timeout_s=20)
    return symbol


def fired(world, key, symbol):
    """(price, price before) of what triggered on a symbol, in order."""
    listed = world.mesh.client.list_all("alert", "ListTriggers", "triggers", {"parent": "users/me/alerts/-"}, key)
    return [(one["price"], one["price_before"]) for one in reversed(listed) if one["symbol"] == symbol]


def commands(world):
    world.start()
    _, key = world.user("Guide")
    env = {**{name: value for name, value in os.environ.items() if not name.startswith("STOCKALERT_")}, **world.start().operator_env(),
           "STOCKALERT_API_KEY": key, "HOME": str(world.folder), "PATH": f"{meshes.binary('stockalert').parent}:{os.environ['PATH']}"}
    for name, command in guide_pictures.sections(guide_pictures.PAGE.read_text(encoding="utf-8")).items():
        prices = guide_pictures.PRICES[name].split()
        symbol = publishing(world, key)
        publish(world, symbol, 0, prices[0])
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command.replace("AAPL", symbol)], env=env, capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"exit {done.returncode} of {command}{done.stdout}{done.stderr}")
        for place, price in enumerate(prices[1:], 1):
            publish(world, symbol, place, price)
        shown = guide_pictures.triggers(guide_pictures.options(command), prices)
        wanted = [(prices[place], prices[place - 1]) for place in shown]
        expect(wanted, f"the picture {name} shows no notification")
        await_true(f"the triggers of {name}", lambda s=symbol, count=len(wanted): len(fired(world, key, s)) >= count, 30)
        expect_equal(fired(world, key, symbol), wanted, f"prices at which {name} triggers, and those before them")


def first_price(world):
    """The API's words on price_before: where no price counted before, it is the price itself."""
    world.start()
    _, key = world.user("First")
    symbol = publishing(world, key)
    alert = {"symbol": symbol, "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "5"}}}
    world.call("alert", "CreateAlert", {"parent": "users/me", "alert": alert}, key, timeout_s=20)
    publish(world, symbol, 0, "7.5")
    await_true("the trigger", lambda: fired(world, key, symbol), 30)
    expect_equal(fired(world, key, symbol), [("7.5", "7.5")], "a first price and the one before it")

    def told():
        return world.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": "users/me"}, key)
    await_true("the notification", told, 30)
    expect_equal([(one["price"], one["price_before"]) for one in told()], [("7.5", "7.5")], "the notification of a first price")


CASES = [("guide/commands", commands), ("guide/first price", first_price)]
