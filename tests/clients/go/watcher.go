package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	notificationv1 "stockalert.dev/gen/stockalert/notification/v1"
)

// A watcher reads a user's notifications in order. Where the stream breaks, it goes on from the last cursor.
type watcher struct {
	notifier notificationv1.NotificationServiceClient
	cursor   string
	stream   notificationv1.NotificationService_WatchNotificationsClient
	due      []*notificationv1.Notification
}

// next waits for a notification. The context bounds the stream too.
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
		code := status.Code(err)
		// Canceled not by us: by a server that goes.
		if ctx.Err() != nil || code != codes.Unavailable && code != codes.Canceled {
			return err
		}
		fmt.Println("the stream broke; going on from its cursor")
		w.stream = nil
		time.Sleep(500 * time.Millisecond)
	}
}

func (w *watcher) receiveOnce(ctx context.Context) error {
	if w.stream == nil {
		stream, err := w.notifier.WatchNotifications(ctx, &notificationv1.WatchNotificationsRequest{Parent: "users/me", Cursor: w.cursor})
		if err != nil {
			return err
		}
		w.stream = stream
	}
	reply, err := w.stream.Recv()
	if err != nil {
		return err
	}
	w.cursor, w.due = reply.GetCursor(), reply.GetNotifications()
	return nil
}
