package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	notificationv1 "stockalert.dev/gen/stockalert/notification/v1"
)

const pause = 500 * time.Millisecond

// streamTimeout is each stream's own; the watch's is its caller's context.
func streamTimeout() time.Duration {
	if timeout, err := time.ParseDuration(os.Getenv("STOCKALERT_STREAM_SECONDS") + "s"); err == nil {
		return timeout
	}
	return time.Minute
}

// A watcher reads a user's notifications in order. Each stream has a deadline of its own; where one ends, the next goes on from the last cursor.
type watcher struct {
	notifier notificationv1.NotificationServiceClient
	cursor   string
	stream   notificationv1.NotificationService_WatchNotificationsClient
	cancel   context.CancelFunc // The stream's.
	due      []*notificationv1.Notification
}

// next waits for a notification. The context bounds the whole watch, and every stream of it.
func (w *watcher) next(ctx context.Context) (*notificationv1.Notification, error) {
	for len(w.due) == 0 {
		if err := w.receive(ctx); err != nil {
			return nil, err
		}
	}
	notification := w.due[0]
	w.due = w.due[1:]
	return notification, nil
}

// receive waits for a reply. The first comes at once and says where the stream begins.
func (w *watcher) receive(ctx context.Context) error {
	for {
		err := w.receiveOnce(ctx)
		if err == nil {
			return nil
		}
		w.close()
		if ctx.Err() != nil || !resumable(err) {
			return err
		}
		fmt.Printf("the stream ended: %s; going on from its cursor\n", status.Code(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (w *watcher) receiveOnce(ctx context.Context) error {
	if w.stream == nil {
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	reply, err := w.stream.Recv()
	if err != nil {
		return err
	}
	w.due = reply.GetNotifications()
	if cursor := reply.GetCursor(); cursor != "" { // A sign of life need not bring one.
		w.cursor = cursor
	}
	return nil
}

func (w *watcher) open(ctx context.Context) (err error) {
	ctx, w.cancel = context.WithTimeout(ctx, streamTimeout())
	w.stream, err = w.notifier.WatchNotifications(ctx, &notificationv1.WatchNotificationsRequest{Parent: "users/me", Cursor: w.cursor})
	return err
}

func (w *watcher) close() {
	w.cancel()
	w.stream = nil
}

// resumable tells of an error whether the watch goes on after it. Canceled is, where our own context is not, by a server that goes.
func resumable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return false
}
