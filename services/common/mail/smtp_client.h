// Sends mails through one SMTP server (RFC 5321), many at once, none of which can hold up the service.
//
// Thread-safe. A thread and a connection for each mail in flight: libcurl's loop stands still while it waits for the
// server's reply to a mail's content and to QUIT. One time limit covers a mail, from its turn to the server's last
// reply. Certificates are verified against `host`. Up to `in_flight_max` mails are sent at a time and `waiting_max`
// wait; connections are kept for further mails. While the server cannot be used (no connection, no TLS, login refused,
// 421) it is tried only now and then, and mails are given back at once. A mail whose connection breaks after its
// content was sent may have arrived: it is sent again with the same Message-ID.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "services/common/base/backoff.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/mail/mail.h"
#include "services/common/mail/smtp_reply.h"

namespace stockalert::mail {

enum class SmtpTls : uint8_t {
  kStartTls,  // STARTTLS (RFC 3207), or nothing is sent.
  kImplicit,  // From the first byte on (RFC 8314).
  kNone,
};

struct SmtpOptions {
  std::string host = {};
  int port = 587;
  SmtpTls tls = SmtpTls::kStartTls;
  std::string user = {};  // Empty: no login.
  std::string password = {};
  std::string authorities_file = {};  // PEM; empty: the system's.
  absl::Duration timeout = absl::Seconds(25);
  absl::Duration connect_timeout = absl::Seconds(10);
  size_t in_flight_max = 8;
  size_t waiting_max = 64;
  // Between tries of a server that cannot be used.
  base::BackoffOptions pauses = {.initial = absl::Seconds(1), .maximum = absl::Seconds(60)};
  // Called on one of its threads in each round: at least once a second, or once a mail.
  std::function<void()> on_turn = {};
};

struct MailResult {
  MailOutcome outcome = MailOutcome::kAccepted;
  int code = 0;                                       // The server's reply; 0: there was none.
  std::string reply = {};                             // Its text, at most 1 KiB.
  std::string error = {};                             // A sentence, without secrets. Empty: accepted.
  absl::Duration retry_after = absl::ZeroDuration();  // Of kServerFault: when the server is tried again.
};

class SmtpClient {
 public:
  // Called once, on one of the client's threads, where it must be quick and may call Send; or within Send, if the mail
  // is given back at once.
  using Done = std::function<void(MailResult)>;

  // Called when a mail's turn has come, on the thread that sends it, where it may take a second or two, which are not
  // reckoned in the time limit. May fill parts of the mail that have no bytes yet, and change its texts; nothing else.
  using Finish = std::function<void(Mail&)>;

  // `clock` must outlive it; it is that of the pauses, not of the time limits.
  SmtpClient(const SmtpOptions& options, const base::MonotonicClock& clock);
  // Every mail is answered before it returns; no farewell is waited for.
  ~SmtpClient();
  SmtpClient(const SmtpClient&) = delete;
  SmtpClient& operator=(const SmtpClient&) = delete;

  void Send(const Mail& mail, Done done, Finish finish = {});

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace stockalert::mail
