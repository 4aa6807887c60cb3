"""StockAlert from Python: a user, an alert, and its notifications without loss or repeat, over a stream that breaks."""

import json
import os
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from stockalert.alert.v1 import alert_pb2, alert_pb2_grpc
from stockalert.notification.v1 import notification_pb2, notification_pb2_grpc
from stockalert.quote.v1 import quote_pb2
from stockalert.ticker.v1 import ticker_pb2, ticker_pb2_grpc
from stockalert.user.v1 import user_pb2, user_pb2_grpc

# gRPC itself calls again what is UNAVAILABLE, or CANCELLED by a server that goes;
# a request id makes that safe where something is created.
SERVICE_CONFIG = {
    "methodConfig": [{
        "name": [{}],
        "retryPolicy": {
            "maxAttempts": 5,
            "initialBackoff": "1s",
            "maxBackoff": "10s",
            "backoffMultiplier": 3,
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        },
    }]
}
CALL_TIMEOUT_S = 30
STREAM_TIMEOUT_S = float(os.environ.get("STOCKALERT_STREAM_SECONDS", "60"))
WATCH_TIMEOUT_S = 300  # One stream after another.
PAUSE_S = 0.5
# CANCELLED not by us: by a server that goes.
RESUMABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
SYMBOL = "AAPL"


def connect(service):
    """A channel to the service, over TLS where an authority's file is named."""
    address = os.environ[f"STOCKALERT_{service}_ADDRESS"]
    options = [("grpc.service_config", json.dumps(SERVICE_CONFIG))]
    if ca_file := os.environ.get("STOCKALERT_CA_FILE"):
        with open(ca_file, "rb") as file:
            return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()), options)
    return grpc.insecure_channel(address, options)


def bearer(key):
    return [("authorization", f"Bearer {key}")]


def reason_and_fields(error):
    """What an error says to programs: its reason, and the fields at fault."""
    reason, fields = "", {}
    for detail in rpc_status.from_call(error).details:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad_request):
            fields = {violation.field: violation.description for violation in bad_request.field_violations}
    return reason, fields


def watch(notifier, key, cursor=""):
    """Yields replies. Each stream has a deadline of its own; where one ends, the next goes on from the last cursor."""
    end = time.monotonic() + WATCH_TIMEOUT_S
    while True:
        request = notification_pb2.WatchNotificationsRequest(parent="users/me", cursor=cursor)
        timeout = min(STREAM_TIMEOUT_S, end - time.monotonic())
        stream = notifier.WatchNotifications(request, timeout=timeout, metadata=bearer(key))
        try:
            for reply in stream:
                yield reply
                cursor = reply.cursor or cursor  # A sign of life need not bring one.
        except grpc.RpcError as error:
            if error.code() not in RESUMABLE or time.monotonic() >= end:
                raise
            print(f"the stream ended: {error.code().name}; going on from its cursor", flush=True)
        finally:
            stream.cancel()
        time.sleep(PAUSE_S)


def main():
    users = user_pb2_grpc.UserServiceStub(connect("USER"))
    alerts = alert_pb2_grpc.AlertServiceStub(connect("ALERT"))
    tickers = ticker_pb2_grpc.TickerServiceStub(connect("TICKER"))
    notifier = notification_pb2_grpc.NotificationServiceStub(connect("NOTIFIER"))

    registered = users.RegisterUser(
        user_pb2.RegisterUserRequest(user=user_pb2.User(email=f"{uuid.uuid4()}@example.com", display_name="Python")), timeout=CALL_TIMEOUT_S)
    mine = {"timeout": CALL_TIMEOUT_S, "metadata": bearer(registered.secret)}
    print("registered", registered.user.name, flush=True)
    users.FollowTicker(user_pb2.FollowTickerRequest(parent="users/me", symbol=SYMBOL), **mine)

    def create_alert(price, request_id=""):
        target = alert_pb2.PriceTarget(comparison=alert_pb2.PriceTarget.COMPARISON_AT_OR_ABOVE, price=price)
        alert = alert_pb2.Alert(
            symbol=SYMBOL, condition=alert_pb2.Condition(price_target=target), trigger_policy=alert_pb2.Alert.TRIGGER_POLICY_REPEAT)
        return alerts.CreateAlert(alert_pb2.CreateAlertRequest(parent="users/me", alert=alert, request_id=request_id), **mine)

    def publish(*prices):
        quotes = []
        for price in prices:
            quote = quote_pb2.Quote(symbol=SYMBOL, price=price, session=quote_pb2.SESSION_REGULAR)
            quote.event_time.GetCurrentTime()
            quotes.append(quote)
        admin = bearer(os.environ["STOCKALERT_ADMIN_KEY"])
        tickers.PublishQuotes(ticker_pb2.PublishQuotesRequest(quotes=quotes), timeout=CALL_TIMEOUT_S, metadata=admin)

    # With a request id, a call that is made twice, by us or by a retry, makes one alert.
    request_id = uuid.uuid4().hex
    alert = create_alert("200", request_id)
    assert create_alert("200", request_id).name == alert.name, "the same request made another alert"
    print("created", alert.name, flush=True)

    try:
        create_alert("-1")
        raise AssertionError("a negative price was accepted")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        reason, fields = reason_and_fields(error)
        assert reason and fields, error
        print("refused", reason, fields, flush=True)

    stream = watch(notifier, registered.secret)
    next(stream)  # The first reply comes at once and says where the stream begins.
    print("watching", flush=True)
    publish("199", "201")
    first = next(notification for reply in stream for notification in reply.notifications)
    stream.close()
    # One of the kind THROTTLED stands for many triggers, and has no price.
    print("notified", first.summary, *(("at", first.price) if first.price else ()), flush=True)

    publish("199", "202")  # Nobody watches it come.
    mine_all = notification_pb2.ListNotificationsRequest(parent="users/me")
    while len(notifier.ListNotifications(mine_all, **mine).notifications) < 2:
        time.sleep(0.1)
    resumed = (notification for reply in watch(notifier, registered.secret, first.cursor) for notification in reply.notifications)
    missed = next(resumed)
    publish("199", "203")
    prices = [first.price, missed.price, next(resumed).price]
    assert prices == ["201", "202", "203"], f"lost or repeated: {prices}"
    print("resumed", prices, flush=True)

    users.DeleteUser(user_pb2.DeleteUserRequest(name="users/me"), **mine)


if __name__ == "__main__":
    main()
