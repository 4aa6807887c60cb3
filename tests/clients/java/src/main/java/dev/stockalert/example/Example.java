package dev.stockalert.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Timestamp;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import dev.stockalert.alert.v1.Alert;
import dev.stockalert.alert.v1.AlertServiceGrpc;
import dev.stockalert.alert.v1.AlertServiceGrpc.AlertServiceBlockingStub;
import dev.stockalert.alert.v1.Condition;
import dev.stockalert.alert.v1.CreateAlertRequest;
import dev.stockalert.alert.v1.PriceTarget;
import dev.stockalert.notification.v1.ListNotificationsRequest;
import dev.stockalert.notification.v1.Notification;
import dev.stockalert.notification.v1.NotificationServiceGrpc;
import dev.stockalert.quote.v1.Quote;
import dev.stockalert.quote.v1.Session;
import dev.stockalert.ticker.v1.PublishQuotesRequest;
import dev.stockalert.ticker.v1.TickerServiceGrpc;
import dev.stockalert.user.v1.DeleteUserRequest;
import dev.stockalert.user.v1.FollowTickerRequest;
import dev.stockalert.user.v1.RegisterUserRequest;
import dev.stockalert.user.v1.User;
import dev.stockalert.user.v1.UserServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** StockAlert from Java: a user, an alert, and its notifications without loss or repeat, over a stream that breaks. */
public final class Example {
  private static final String SYMBOL = "AAPL";
  private static final int CALL_TIMEOUT_S = 30;

  /** gRPC itself calls again what is UNAVAILABLE, or CANCELLED by a server that goes; a request id makes that safe where something is created. */
  private static final Map<String, ?> SERVICE_CONFIG = Map.of("methodConfig", List.of(Map.of(
      "name", List.of(Map.of()),
      "retryPolicy", Map.of(
          "maxAttempts", 5.0,
          "initialBackoff", "1s",
          "maxBackoff", "10s",
          "backoffMultiplier", 3.0,
          "retryableStatusCodes", List.of("UNAVAILABLE", "CANCELLED")))));

  /** Gives every call but streams a deadline. */
  private static final ClientInterceptor WITH_DEADLINE = new ClientInterceptor() {
    @Override
    public <Q, P> ClientCall<Q, P> interceptCall(MethodDescriptor<Q, P> method, CallOptions options, Channel next) {
      boolean unary = method.getType() == MethodDescriptor.MethodType.UNARY;
      return next.newCall(method, unary ? options.withDeadlineAfter(CALL_TIMEOUT_S, TimeUnit.SECONDS) : options);
    }
  };

  public static void main(String[] args) throws Exception {
    var channels = new ArrayList<ManagedChannel>();
    try {
      for (String service : List.of("USER", "ALERT", "TICKER", "NOTIFIER")) {
        channels.add(connect(service));
      }
      run(channels.get(0), channels.get(1), channels.get(2), channels.get(3));
    } finally {
      channels.forEach(ManagedChannel::shutdownNow);
    }
  }

  private static void run(Channel user, Channel alert, Channel ticker, Channel notification) throws InterruptedException {
    var registered = UserServiceGrpc.newBlockingStub(user).registerUser(RegisterUserRequest.newBuilder()
        .setUser(User.newBuilder().setEmail(UUID.randomUUID() + "@example.com").setDisplayName("Java"))
        .build());
    System.out.println("registered " + registered.getUser().getName());

    ClientInterceptor mine = bearer(registered.getSecret());
    var users = UserServiceGrpc.newBlockingStub(user).withInterceptors(mine);
    var alerts = AlertServiceGrpc.newBlockingStub(alert).withInterceptors(mine);
    var notifier = NotificationServiceGrpc.newBlockingStub(notification).withInterceptors(mine);
    var tickers = TickerServiceGrpc.newBlockingStub(ticker).withInterceptors(bearer(System.getenv("STOCKALERT_ADMIN_KEY")));
    users.followTicker(FollowTickerRequest.newBuilder().setParent("users/me").setSymbol(SYMBOL).build());

    // With a request id, a call that is made twice, by us or by a retry, makes one alert.
    CreateAlertRequest request = createAlert("200").setRequestId(UUID.randomUUID().toString()).build();
    Alert created = alerts.createAlert(request);
    require(alerts.createAlert(request).getName().equals(created.getName()), "the same request made another alert");
    System.out.println("created " + created.getName());

    refuseNegativePrice(alerts);

    var prices = new ArrayList<String>();
    Notification first;
    try (var watch = new NotificationWatch(notifier, "")) {
      System.out.println("watching");
      tickers.publishQuotes(quotes("199", "201"));
      first = watch.next();
      prices.add(first.getPrice());
      // One of the kind THROTTLED stands for many triggers, and has no price.
      System.out.println("notified " + first.getSummary() + (first.getPrice().isEmpty() ? "" : " at " + first.getPrice()));
    }
    tickers.publishQuotes(quotes("199", "202")); // Nobody watches it come.
    var mineAll = ListNotificationsRequest.newBuilder().setParent("users/me").build();
    while (notifier.listNotifications(mineAll).getNotificationsCount() < 2) {
      Thread.sleep(100);
    }
    try (var resumed = new NotificationWatch(notifier, first.getCursor())) {
      prices.add(resumed.next().getPrice());
      tickers.publishQuotes(quotes("199", "203"));
      prices.add(resumed.next().getPrice());
    }
    require(prices.equals(List.of("201", "202", "203")), "lost or repeated: " + prices);
    System.out.println("resumed " + prices);

    users.deleteUser(DeleteUserRequest.newBuilder().setName("users/me").build());
  }

  /** A channel to the service, over TLS where an authority's file is named. */
  private static ManagedChannel connect(String service) throws IOException {
    String authority = System.getenv("STOCKALERT_CA_FILE");
    ChannelCredentials credentials = authority == null || authority.isEmpty()
        ? InsecureChannelCredentials.create()
        : TlsChannelCredentials.newBuilder().trustManager(new File(authority)).build();
    return Grpc.newChannelBuilder(System.getenv("STOCKALERT_" + service + "_ADDRESS"), credentials)
        .defaultServiceConfig(SERVICE_CONFIG)
        .intercept(WITH_DEADLINE)
        .build();
  }

  private static ClientInterceptor bearer(String key) {
    var metadata = new Metadata();
    metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
    return MetadataUtils.newAttachHeadersInterceptor(metadata);
  }

  private static CreateAlertRequest.Builder createAlert(String price) {
    var target = PriceTarget.newBuilder().setComparison(PriceTarget.Comparison.COMPARISON_AT_OR_ABOVE).setPrice(price);
    return CreateAlertRequest.newBuilder().setParent("users/me").setAlert(Alert.newBuilder()
        .setSymbol(SYMBOL)
        .setCondition(Condition.newBuilder().setPriceTarget(target))
        .setTriggerPolicy(Alert.TriggerPolicy.TRIGGER_POLICY_REPEAT));
  }

  /** A bad call, and what its error says to programs: a reason, and the fields at fault. */
  private static void refuseNegativePrice(AlertServiceBlockingStub alerts) {
    try {
      alerts.createAlert(createAlert("-1").build());
    } catch (StatusRuntimeException e) {
      require(e.getStatus().getCode() == Status.Code.INVALID_ARGUMENT, e.getMessage());
      String reason = "";
      var fields = new ArrayList<String>();
      try {
        for (Any detail : StatusProto.fromThrowable(e).getDetailsList()) {
          if (detail.is(ErrorInfo.class)) {
            reason = detail.unpack(ErrorInfo.class).getReason();
          } else if (detail.is(BadRequest.class)) {
            detail.unpack(BadRequest.class).getFieldViolationsList().forEach(v -> fields.add(v.getField() + " " + v.getDescription()));
          }
        }
      } catch (InvalidProtocolBufferException malformed) {
        throw new IllegalStateException("details that cannot be read", malformed);
      }
      require(!reason.isEmpty() && !fields.isEmpty(), "no details in " + e.getMessage());
      System.out.println("refused " + reason + " " + fields);
      return;
    }
    throw new IllegalStateException("a negative price was accepted");
  }

  private static PublishQuotesRequest quotes(String... prices) {
    var request = PublishQuotesRequest.newBuilder();
    for (String price : prices) {
      Instant now = Instant.now();
      request.addQuotes(Quote.newBuilder()
          .setSymbol(SYMBOL)
          .setPrice(price)
          .setEventTime(Timestamp.newBuilder().setSeconds(now.getEpochSecond()).setNanos(now.getNano()))
          .setSession(Session.SESSION_REGULAR));
    }
    return request.build();
  }

  private static void require(boolean condition, String message) {
    if (!condition) {
      throw new IllegalStateException(message);
    }
  }

  private Example() {}
}
