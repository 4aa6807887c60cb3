// A receiver of StockAlert's webhooks in Go: who sent it, whose it is, whether it came before, and a quick answer.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	bodyMax   = 64 << 10 // What comes has at most 20 kB.
	tolerance = 5 * time.Minute
	idsKept   = 10000
)

// Either is enough: the one is a secret that both know, the other only what a signature is verified by.
var (
	secret    = os.Getenv("STOCKALERT_WEBHOOK_SECRET")
	publicKey = os.Getenv("STOCKALERT_WEBHOOK_PUBLIC_KEY")
)

// verifyV1a verifies by the public key. While the keys rotate, there are signatures by both: one that holds is enough.
func verifyV1a(body []byte, header http.Header) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(publicKey, "whpk_"))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return errors.New("the public key is none")
	}
	sent, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return errors.New("the time is none")
	}
	if age := time.Since(time.Unix(sent, 0)); age > tolerance || age < -tolerance {
		return errors.New("the time is not now")
	}
	signed := append([]byte(fmt.Sprintf("%s.%d.", header.Get("webhook-id"), sent)), body...)
	for _, signature := range strings.Split(header.Get("webhook-signature"), " ") {
		value, isV1a := strings.CutPrefix(signature, "v1a,")
		decoded, err := base64.StdEncoding.DecodeString(value)
		if isV1a && err == nil && ed25519.Verify(key, signed, decoded) {
			return nil
		}
	}
	return errors.New("no signature by the key")
}

// verify fails where the body is not from whom it should be, or is old.
func verify(body []byte, header http.Header) error {
	if secret == "" && publicKey == "" {
		return errors.New("nothing to verify by")
	}
	if secret != "" {
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return err
		}
		if err := webhook.Verify(body, header); err != nil {
			return err
		}
	}
	if publicKey != "" {
		return verifyV1a(body, header)
	}
	return nil
}

// ids are those that came before. In a program of yours: a table, written with what you make of the message.
type ids struct {
	mutex sync.Mutex
	known map[string]bool
	order []string
}

// add answers false where the id is there already.
func (seen *ids) add(id string) bool {
	seen.mutex.Lock()
	defer seen.mutex.Unlock()
	if seen.known[id] {
		return false
	}
	seen.known[id] = true
	seen.order = append(seen.order, id)
	if len(seen.order) > idsKept {
		delete(seen.known, seen.order[0])
		seen.order = seen.order[1:]
	}
	return true
}

type message struct {
	Type string `json:"type"`
	Data struct {
		Challenge string `json:"challenge"`
	} `json:"data"`
}

var seen = ids{known: map[string]bool{}}

func receive(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, bodyMax)) // As it came: a signature is over bytes.
	if err != nil {
		writer.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err := verify(body, request.Header); err != nil {
		fmt.Println("refused:", err)
		writer.WriteHeader(http.StatusUnauthorized)
		return
	}
	var received message
	if err := json.Unmarshal(body, &received); err != nil {
		writer.WriteHeader(http.StatusBadRequest)
		return
	}
	if received.Type == "destination.verification" {
		fmt.Println("verified")
		writer.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(writer).Encode(map[string]string{"challenge": received.Data.Challenge})
		return
	}
	// At least once is how it comes: what came before has its id.
	if id := request.Header.Get("webhook-id"); seen.add(id) {
		fmt.Println("received", received.Type, id)
	} else {
		fmt.Println("repeated", id)
	}
	writer.WriteHeader(http.StatusNoContent)
}

func main() {
	port := os.Getenv("STOCKALERT_WEBHOOK_PORT")
	if port == "" {
		port = "3000"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: http.HandlerFunc(receive), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}
