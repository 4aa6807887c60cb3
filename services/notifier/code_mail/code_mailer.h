// Mails the codes that verify the addresses of users. No destination and no lane is concerned: a code is worth
// something for a short time only, and is queued and forgotten by itself.
//
// RunOnce does what there is to do now; Start has a thread of its own call it. A mail that the server defers is tried
// again with growing pauses until the code expires; one that it refuses is not. While the mail server cannot be used,
// all wait. A mail may be sent twice (an instance died after sending it), under the same Message-ID.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/mail/mail.h"
#include "services/common/mail/smtp_client.h"
#include "services/common/process/liveness.h"
#include "services/common/secrets/secret_box.h"
#include "services/notifier/code_mail/code_mail_store.h"

namespace stockalert::notifier {

using secrets::SecretBox;

// What QueuedCodeMail::sealed_content holds, encrypted for this user.
std::string SealCodeMail(const SecretBox& secrets, const std::string& user_id, const std::string& address,
                         const std::string& code);

struct CodeMailerOptions {
  std::string from;
  std::string from_name;
  absl::Duration poll_interval = absl::Seconds(1);
  int in_flight_max = 20;
  // How long a claimed mail is nobody else's. Longer than an attempt may take.
  absl::Duration claim_time = absl::Minutes(2);
};

class CodeMailer {
 public:
  // Hands a mail over to be sent: SmtpClient::Send.
  using Send = std::function<void(const mail::Mail&, mail::SmtpClient::Done)>;

  // What is given by reference must outlive it; results may come after it is destroyed.
  CodeMailer(const CodeMailerOptions& options, CodeMailStore& store, const SecretBox& secrets, const base::Clock& clock,
             Send send);
  // Stop.
  ~CodeMailer();
  CodeMailer(const CodeMailer&) = delete;
  CodeMailer& operator=(const CodeMailer&) = delete;

  void Start();
  // Thread-safe, quick.
  void Wake();
  // Starts nothing more and joins the thread. What is under way is claimed again later.
  void Stop();

  // Writes results, claims what is due and sends it. Not beside Start.
  void RunOnce();

 private:
  struct Finished {
    QueuedCodeMail mail;
    mail::MailResult result;
  };
  // Shared with results that come late.
  struct Inbox {
    base::Mutex mutex;
    base::ConditionVariable changed;
    bool rung ABSL_GUARDED_BY(mutex) = false;
    bool stopping ABSL_GUARDED_BY(mutex) = false;
    std::vector<Finished> finished ABSL_GUARDED_BY(mutex);
  };

  void Run();
  bool Wait();
  absl::Status WriteResult(const Finished& finished);
  absl::StatusOr<mail::Mail> Compose(const QueuedCodeMail& queued) const;

  const CodeMailerOptions options_;
  CodeMailStore& store_;
  const SecretBox& secrets_;
  const base::Clock& clock_;
  const Send send_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::vector<Finished> unwritten_;
  int in_flight_ = 0;
  process::Heartbeat heartbeat_{"code_mails"};
  std::thread thread_;
};

}  // namespace stockalert::notifier
