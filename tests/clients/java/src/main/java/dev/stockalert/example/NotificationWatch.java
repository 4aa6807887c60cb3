package dev.stockalert.example;

import dev.stockalert.notification.v1.Notification;
import dev.stockalert.notification.v1.NotificationServiceGrpc.NotificationServiceBlockingStub;
import dev.stockalert.notification.v1.WatchNotificationsRequest;
import dev.stockalert.notification.v1.WatchNotificationsResponse;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.EnumSet;
import java.util.Iterator;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * A user's notifications, in order. Each stream has a deadline of its own; where one ends, the next goes on from the last cursor.
 *
 * <p>For one thread. Closing it ends the stream, and so does the watch's own deadline.
 */
final class NotificationWatch implements Iterator<Notification>, AutoCloseable {
  private static final long STREAM_TIMEOUT_S = Long.parseLong(System.getenv().getOrDefault("STOCKALERT_STREAM_SECONDS", "60"));
  private static final long WATCH_TIMEOUT_S = 300;
  private static final int PAUSE_MS = 500;

  /** CANCELLED not by us: by a server that goes. */
  private static final Set<Status.Code> RESUMABLE = EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.CANCELLED, Status.Code.DEADLINE_EXCEEDED);

  private final NotificationServiceBlockingStub notifier;
  private final Context.CancellableContext context = Context.current().withCancellation();
  private final Deadline end = Deadline.after(WATCH_TIMEOUT_S, TimeUnit.SECONDS);
  private final Queue<Notification> due = new ArrayDeque<>();
  private Iterator<WatchNotificationsResponse> replies;
  private String cursor;

  /** Opens the stream; an empty cursor means from now on. The first reply comes at once and says where the stream begins. */
  NotificationWatch(NotificationServiceBlockingStub notifier, String cursor) {
    this.notifier = notifier;
    this.cursor = cursor;
    receive();
  }

  @Override
  public boolean hasNext() {
    return true;
  }

  @Override
  public Notification next() {
    while (due.isEmpty()) {
      receive();
    }
    return due.remove();
  }

  @Override
  public void close() {
    context.cancel(null);
  }

  private void receive() {
    while (true) {
      try {
        if (replies == null) {
          replies = open();
        }
        WatchNotificationsResponse reply = replies.next();
        if (!reply.getCursor().isEmpty()) { // A sign of life need not bring one.
          cursor = reply.getCursor();
        }
        due.addAll(reply.getNotificationsList());
        return;
      } catch (StatusRuntimeException e) {
        Status.Code code = e.getStatus().getCode();
        if (context.isCancelled() || end.isExpired() || !RESUMABLE.contains(code)) {
          throw e;
        }
        System.out.println("the stream ended: " + code + "; going on from its cursor");
        replies = null;
        pause();
      }
    }
  }

  private Iterator<WatchNotificationsResponse> open() {
    var request = WatchNotificationsRequest.newBuilder().setParent("users/me").setCursor(cursor).build();
    Context previous = context.attach();
    try {
      Deadline deadline = Deadline.after(STREAM_TIMEOUT_S, TimeUnit.SECONDS).minimum(end);
      return notifier.withDeadline(deadline).watchNotifications(request);
    } finally {
      context.detach(previous);
    }
  }

  private static void pause() {
    try {
      Thread.sleep(PAUSE_MS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw Status.CANCELLED.withCause(e).asRuntimeException();
    }
  }
}
