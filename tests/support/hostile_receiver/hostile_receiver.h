// An HTTP server on the loopback device that does what a test tells it to, byte by byte: what a receiver of webhooks
// may do to its sender.
//
// Thread-safe. A thread a connection, which runs the test's behaviour.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "services/common/base/mutex.h"
#include "tests/support/certificates/certificates.h"

namespace stockalert::testing {

struct ReceivedRequest {
  std::string head;  // Request line and headers, as they came.
  std::string body;
  // The value of a header (its name in lower case); empty: none.
  std::string Header(const std::string& name) const;
};

class ReceiverConnection {
 public:
  virtual ~ReceiverConnection() = default;
  // None: the peer has closed, or said no HTTP.
  virtual std::optional<ReceivedRequest> Read() = 0;
  // False: the peer takes no more.
  virtual bool Write(const std::string& bytes) = 0;
  // Ends the connection without a farewell.
  virtual void Reset() = 0;
  // Until the peer closes or the receiver stops.
  virtual void AwaitEnd() = 0;
};

class HostileReceiver {
 public:
  using Behaviour = std::function<void(ReceiverConnection&)>;

  // Listens on 127.0.0.1 and, under the same port, on 127.0.0.2. With an identity it speaks TLS.
  explicit HostileReceiver(Behaviour behaviour, std::optional<Identity> identity = std::nullopt);
  ~HostileReceiver();

  int port() const { return port_; }
  std::string Url(const std::string& scheme, const std::string& host) const;
  // Taken so far.
  int connections() const { return connections_; }
  // Read, and written by the receiver, so far.
  std::vector<ReceivedRequest> requests() const;
  int64_t bytes_written() const { return bytes_written_; }
  // SO_RCVBUF of this process's own end of a connection to the receiver; none where it has none.
  std::optional<int> PeerReceiveBufferBytes() const;

 private:
  class Connection;
  void Listen();
  void Accept();
  void Serve(Connection& connection);

  const Behaviour behaviour_;
  void* tls_ = nullptr;  // SSL_CTX.
  std::array<int, 2> listeners_ = {-1, -1};
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0};
  std::atomic<int64_t> bytes_written_{0};
  mutable base::Mutex mutex_;
  std::vector<ReceivedRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::list<std::unique_ptr<Connection>> open_ ABSL_GUARDED_BY(mutex_);
  std::list<std::thread> threads_;  // The accepting thread's, then the destructor's.
  std::thread accepting_;
};

// Answers every request of a connection alike.
HostileReceiver::Behaviour Answers(const std::string& answer);
// "HTTP/1.1 STATUS" with these headers ("Name: value\r\n" each) and this body.
std::string Answer(int status, const std::string& headers = "", const std::string& body = "");

}  // namespace stockalert::testing
