// StockAlert from Go: a user, an alert, and its notifications without loss or repeat, over a stream that breaks.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"reflect"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	alertv1 "stockalert.dev/gen/stockalert/alert/v1"
	notificationv1 "stockalert.dev/gen/stockalert/notification/v1"
	quotev1 "stockalert.dev/gen/stockalert/quote/v1"
	tickerv1 "stockalert.dev/gen/stockalert/ticker/v1"
	userv1 "stockalert.dev/gen/stockalert/user/v1"
)

const (
	symbol       = "AAPL"
	callTimeout  = 30 * time.Second
	watchTimeout = 5 * time.Minute // One stream after another.

	// gRPC itself calls again what is UNAVAILABLE, or CANCELLED by a server that goes; a request id makes that safe where something is created.
	serviceConfig = `{"methodConfig": [{
		"name": [{}],
		"retryPolicy": {
			"maxAttempts": 5,
			"initialBackoff": "1s",
			"maxBackoff": "10s",
			"backoffMultiplier": 3,
			"retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]
		}
	}]}`
)

// dial makes a connection to the service, over TLS where an authority's file is named. Every call has a deadline.
func dial(service string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if file := os.Getenv("STOCKALERT_CA_FILE"); file != "" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(file, ""); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient(os.Getenv("STOCKALERT_"+service+"_ADDRESS"), grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(serviceConfig), grpc.WithUnaryInterceptor(withDeadline))
}

func withDeadline(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return invoke(ctx, method, request, reply, conn, options...)
}

func withKey(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

func randomID() string {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		panic(err)
	}
	return hex.EncodeToString(id)
}

// reasonAndFields tells what an error says to programs: its reason, and the fields at fault.
func reasonAndFields(err error) (reason string, fields []string) {
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.GetReason()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				fields = append(fields, violation.GetField()+" "+violation.GetDescription())
			}
		}
	}
	return reason, fields
}

func atOrAbove(price string) *alertv1.Alert {
	return &alertv1.Alert{
		Symbol: symbol,
		Condition: &alertv1.Condition{Kind: &alertv1.Condition_PriceTarget{PriceTarget: &alertv1.PriceTarget{
			Comparison: alertv1.PriceTarget_COMPARISON_AT_OR_ABOVE,
			Price:      price,
		}}},
		TriggerPolicy: alertv1.Alert_TRIGGER_POLICY_REPEAT,
	}
}

// publish puts prices into the mesh as its administrator.
func publish(ctx context.Context, tickers tickerv1.TickerServiceClient, prices ...string) error {
	request := &tickerv1.PublishQuotesRequest{}
	for _, price := range prices {
		request.Quotes = append(request.Quotes, &quotev1.Quote{
			Symbol: symbol, Price: price, EventTime: timestamppb.Now(), Session: quotev1.Session_SESSION_REGULAR,
		})
	}
	_, err := tickers.PublishQuotes(withKey(ctx, os.Getenv("STOCKALERT_ADMIN_KEY")), request)
	return err
}

func run(ctx context.Context) error {
	conns := map[string]*grpc.ClientConn{}
	for _, service := range []string{"USER", "ALERT", "TICKER", "NOTIFIER"} {
		conn, err := dial(service)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[service] = conn
	}
	users := userv1.NewUserServiceClient(conns["USER"])
	alerts := alertv1.NewAlertServiceClient(conns["ALERT"])
	tickers := tickerv1.NewTickerServiceClient(conns["TICKER"])
	notifier := notificationv1.NewNotificationServiceClient(conns["NOTIFIER"])

	registered, err := users.RegisterUser(ctx, &userv1.RegisterUserRequest{
		User: &userv1.User{Email: randomID() + "@example.com", DisplayName: "Go"},
	})
	if err != nil {
		return err
	}
	fmt.Println("registered", registered.GetUser().GetName())
	mine := withKey(ctx, registered.GetSecret())
	if _, err := users.FollowTicker(mine, &userv1.FollowTickerRequest{Parent: "users/me", Symbol: symbol}); err != nil {
		return err
	}

	// With a request id, a call that is made twice, by us or by a retry, makes one alert.
	request := &alertv1.CreateAlertRequest{Parent: "users/me", Alert: atOrAbove("200"), RequestId: randomID()}
	alert, err := alerts.CreateAlert(mine, request)
	if err != nil {
		return err
	}
	again, err := alerts.CreateAlert(mine, request)
	if err != nil {
		return err
	}
	if again.GetName() != alert.GetName() {
		return fmt.Errorf("the same request made another alert, %s", again.GetName())
	}
	fmt.Println("created", alert.GetName())

	_, err = alerts.CreateAlert(mine, &alertv1.CreateAlertRequest{Parent: "users/me", Alert: atOrAbove("-1")})
	reason, fields := reasonAndFields(err)
	if status.Code(err) != codes.InvalidArgument || reason == "" || len(fields) == 0 {
		return fmt.Errorf("a negative price was answered %w", err)
	}
	fmt.Println("refused", reason, fields)

	watching, drop := context.WithTimeout(mine, watchTimeout)
	defer drop()
	watch := &watcher{notifier: notifier}
	if err := watch.receive(watching); err != nil {
		return err
	}
	fmt.Println("watching")
	if err := publish(ctx, tickers, "199", "201"); err != nil {
		return err
	}
	first, err := watch.next(watching)
	if err != nil {
		return err
	}
	drop()
	if first.GetPrice() == "" { // One of the kind THROTTLED stands for many triggers, and has no price.
		fmt.Println("notified", first.GetSummary())
	} else {
		fmt.Println("notified", first.GetSummary(), "at", first.GetPrice())
	}

	if err := publish(ctx, tickers, "199", "202"); err != nil { // Nobody watches it come.
		return err
	}
	for count := 0; count < 2; time.Sleep(100 * time.Millisecond) {
		stored, err := notifier.ListNotifications(mine, &notificationv1.ListNotificationsRequest{Parent: "users/me"})
		if err != nil {
			return err
		}
		count = len(stored.GetNotifications())
	}
	resuming, cancel := context.WithTimeout(mine, watchTimeout)
	defer cancel()
	resumed := &watcher{notifier: notifier, cursor: first.GetCursor()}
	missed, err := resumed.next(resuming)
	if err != nil {
		return err
	}
	if err := publish(ctx, tickers, "199", "203"); err != nil {
		return err
	}
	last, err := resumed.next(resuming)
	if err != nil {
		return err
	}
	prices := []string{first.GetPrice(), missed.GetPrice(), last.GetPrice()}
	if !reflect.DeepEqual(prices, []string{"201", "202", "203"}) {
		return fmt.Errorf("lost or repeated: %v", prices)
	}
	fmt.Println("resumed", prices)

	_, err = users.DeleteUser(mine, &userv1.DeleteUserRequest{Name: "users/me"})
	return err
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
