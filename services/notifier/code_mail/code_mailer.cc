#include "services/notifier/code_mail/code_mailer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/domain/message/mail_message.h"
#include "services/notifier/delivery/retry_schedule.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kPauseMin = absl::Seconds(1);

prometheus::Counter& Mails(const char* outcome) {
  return metrics::GetCounter("stockalert_notifier_mails_total", "Mails of codes asked for, by what became of them",
                             {{"outcome", outcome}});
}

message::NotificationText WordsOf(const std::string& code, int64_t expire_time_us) {
  const std::string until =
      absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromUnixMicros(expire_time_us), absl::UTCTimeZone());
  return {"Verify your address",
          absl::StrCat(
              "Somebody has given this address to StockAlert as theirs. If it was you, this code verifies it: ", code,
              "\nIt is valid until ", until, ".\nIf it was not you, ignore this message."),
          {}};
}

absl::Duration PauseAfter(const QueuedCodeMail& mail, const mail::MailResult& result) {
  if (result.outcome != mail::MailOutcome::kDeferred) return std::max(result.retry_after, kPauseMin);
  return PauseBefore(std::clamp(mail.attempt_count + 1, 2, kAttemptsMax));
}

}  // namespace

std::string SealCodeMail(const SecretBox& secrets, const std::string& user_id, const std::string& address,
                         const std::string& code) {
  return secrets.Seal(Json{{"address", address}, {"code", code}}.dump(), user_id);
}

CodeMailer::CodeMailer(const CodeMailerOptions& options, CodeMailStore& store, const SecretBox& secrets,
                       const base::Clock& clock, Send send)
    : options_(options), store_(store), secrets_(secrets), clock_(clock), send_(std::move(send)) {
  for (const char* outcome : {"sent", "refused", "deferred", "undecipherable"}) Mails(outcome);
}

CodeMailer::~CodeMailer() { Stop(); }

void CodeMailer::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CodeMailer::Wake() {
  base::MutexLock lock(inbox_->mutex);
  inbox_->rung = true;
  inbox_->changed.NotifyOne();
}

void CodeMailer::Stop() {
  if (!thread_.joinable()) return;
  {
    base::MutexLock lock(inbox_->mutex);
    inbox_->stopping = true;
    inbox_->changed.NotifyOne();
  }
  thread_.join();
}

void CodeMailer::Run() {
  do {
    heartbeat_.Beat();
    RunOnce();
  } while (!Wait());
  heartbeat_.End();
}

bool CodeMailer::Wait() {
  base::MutexLock lock(inbox_->mutex);
  inbox_->changed.WaitFor(lock, options_.poll_interval, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(inbox_->mutex) {
    return inbox_->rung || inbox_->stopping;
  });
  inbox_->rung = false;
  return inbox_->stopping;
}

absl::StatusOr<mail::Mail> CodeMailer::Compose(const QueuedCodeMail& queued) const {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string text, secrets_.Open(queued.sealed_content, queued.user_id));
  const Json content = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!content.is_object() || !content.contains("address") || !content.contains("code"))
    return absl::DataLossError("no content of a mail");
  const message::MailMessage words =
      message::MailMessageOf(WordsOf(content["code"].get<std::string>(), queued.expire_time_us), "");
  mail::Mail mail;
  mail.head = {.from = options_.from,
               .from_name = options_.from_name,
               .to = content["address"].get<std::string>(),
               .subject = words.subject,
               // The same for each attempt, and tells nothing of the user.
               .id = "code_" + base::HexEncode(base::Sha256(absl::StrCat(queued.user_id, "/", queued.expire_time_us))),
               .date_us = clock_.NowUs(),
               .unsubscribe = "",
               .unsubscribe_subject = ""};
  mail.text = words.text;
  mail.html = words.html;
  return mail;
}

absl::Status CodeMailer::WriteResult(const Finished& finished) {
  const mail::MailResult& result = finished.result;
  switch (result.outcome) {
    case mail::MailOutcome::kAccepted:
    case mail::MailOutcome::kRefused:
    case mail::MailOutcome::kNoMailbox:
    case mail::MailOutcome::kInvalid: {
      STOCKALERT_RETURN_IF_ERROR(store_.Finish(finished.mail));
      const bool sent = result.outcome == mail::MailOutcome::kAccepted;
      Mails(sent ? "sent" : "refused").Increment();
      // What the server answered may repeat the address.
      if (!sent)
        log::Info("the mail with a user's code was refused", {{"user", finished.mail.user_id}, {"code", result.code}});
      return absl::OkStatus();
    }
    default:
      break;
  }
  const absl::Duration pause = PauseAfter(finished.mail, result);
  STOCKALERT_RETURN_IF_ERROR(store_.PutBack(finished.mail, clock_.NowUs() + absl::ToInt64Microseconds(pause)));
  Mails("deferred").Increment();
  return absl::OkStatus();
}

void CodeMailer::RunOnce() {
  {
    base::MutexLock lock(inbox_->mutex);
    in_flight_ -= static_cast<int>(inbox_->finished.size());
    std::move(inbox_->finished.begin(), inbox_->finished.end(), std::back_inserter(unwritten_));
    inbox_->finished.clear();
  }
  absl::Status status;
  while (!unwritten_.empty() && status.ok()) {
    status = WriteResult(unwritten_.back());
    if (status.ok()) unwritten_.pop_back();
  }
  const int room = options_.in_flight_max - in_flight_ - static_cast<int>(unwritten_.size());
  absl::StatusOr<std::vector<QueuedCodeMail>> due = std::vector<QueuedCodeMail>();
  const int64_t now_us = clock_.NowUs();
  if (status.ok() && room > 0) {
    due = store_.ClaimDue(room, now_us + absl::ToInt64Microseconds(options_.claim_time), now_us);
    status = due.status();
  }
  if (!status.ok()) {
    static log::Limiter limiter(absl::Seconds(30));
    if (limiter.Allow())
      log::Warning("cannot access the mails of codes in the database; trying again", {{"error", status}});
    return;
  }
  for (QueuedCodeMail& queued : *due) {
    const absl::StatusOr<mail::Mail> mail = Compose(queued);
    if (!mail.ok()) {
      Mails("undecipherable").Increment();
      log::Error("cannot decrypt the mail with a user's code: see whether --delivery_keys_file lacks a key",
                 {{"user", queued.user_id}});
      unwritten_.push_back({std::move(queued), {.outcome = mail::MailOutcome::kInvalid}});
      continue;
    }
    ++in_flight_;
    send_(*mail, [inbox = inbox_, queued](mail::MailResult result) {
      base::MutexLock lock(inbox->mutex);
      inbox->finished.push_back({queued, std::move(result)});
      inbox->rung = true;
      inbox->changed.NotifyOne();
    });
  }
}

}  // namespace stockalert::notifier
