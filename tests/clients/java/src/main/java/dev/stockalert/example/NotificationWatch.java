package dev.stockalert.example;

import dev.stockalert.notification.v1.Notification;
import dev.stockalert.notification.v1.NotificationServiceGrpc.NotificationServiceBlockingStub;
import dev.stockalert.notification.v1.WatchNotificationsRequest;
import dev.stockalert.notification.v1.WatchNotificationsResponse;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.Queue;
import java.util.concurrent.TimeUnit;

/**
 * A user's notifications, in order and without end. Where the stream breaks, it goes on from the last cursor.
 *
 * <p>For one thread. Closing it ends the stream.
 */
final class NotificationWatch implements Iterator<Notification>, AutoCloseable {
  private static final int TIMEOUT_S = 60;
  private static final int PAUSE_MS = 500;

  private final NotificationServiceBlockingStub notifier;
  private final Context.CancellableContext context = Context.current().withCancellation();
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
        cursor = reply.getCursor();
        due.addAll(reply.getNotificationsList());
        return;
      } catch (StatusRuntimeException e) {
        Status.Code code = e.getStatus().getCode();
        // CANCELLED not by us: by a server that goes.
        if (context.isCancelled() || code != Status.Code.UNAVAILABLE && code != Status.Code.CANCELLED) {
          throw e;
        }
        System.out.println("the stream broke; going on from its cursor");
        replies = null;
        pause();
      }
    }
  }

  private Iterator<WatchNotificationsResponse> open() {
    var request = WatchNotificationsRequest.newBuilder().setParent("users/me").setCursor(cursor).build();
    Context previous = context.attach();
    try {
      return notifier.withDeadlineAfter(TIMEOUT_S, TimeUnit.SECONDS).watchNotifications(request);
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
