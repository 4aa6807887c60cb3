// A real mail server on the loopback device, mail_server.py beside this file, as a process of its own. What it is sent
// it keeps as Python's parser of mails reads it. Thread-safe.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "services/common/base/mutex.h"
#include "tests/support/certificates/certificates.h"

namespace stockalert::testing {

struct MailServerOptions {
  int port = 0;                           // 0: any.
  std::optional<Identity> identity = {};  // None: no TLS.
  bool implicit_tls = false;              // Without STARTTLS.
  std::string user = {};                  // Empty: no login.
  std::string password = {};
};

class MailServer {
 public:
  // Throws if it does not start.
  explicit MailServer(const MailServerOptions& options = {});
  // Ends the process at once, with its connections.
  ~MailServer();
  MailServer(const MailServer&) = delete;
  MailServer& operator=(const MailServer&) = delete;

  int port() const { return port_; }
  int connections() const;
  // Accepted so far: mail_server.py says what each holds.
  std::vector<nlohmann::json> mails() const;

 private:
  void Start(const MailServerOptions& options);
  void Read(int file);
  void HandleLine(const std::string& line);

  std::optional<SwappedFolder> files_;
  pid_t process_ = -1;
  int input_ = -1;
  std::thread reader_;
  mutable base::Mutex mutex_;
  base::ConditionVariable changed_;
  int port_ = 0;  // Set before the constructor returns.
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  int connections_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<nlohmann::json> mails_ ABSL_GUARDED_BY(mutex_);
};

// The value of a header field of a mail; empty: it has none. Throws if it has it twice.
std::string HeaderOf(const nlohmann::json& mail, const std::string& name);

}  // namespace stockalert::testing
