#include "services/notifier/delivery/mail_request_sender.h"

#include <optional>
#include <utility>
#include <variant>

#include "services/common/base/monotonic_clock.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::notifier {
namespace {

const char* NameOf(mail::MailOutcome outcome) {
  switch (outcome) {
    case mail::MailOutcome::kAccepted:
      return "accepted";
    case mail::MailOutcome::kDeferred:
      return "deferred";
    case mail::MailOutcome::kRefused:
      return "refused";
    case mail::MailOutcome::kNoMailbox:
      return "no_mailbox";
    case mail::MailOutcome::kServerFault:
      return "server_fault";
    case mail::MailOutcome::kNotTried:
      return "not_tried";
    case mail::MailOutcome::kInvalid:
      return "invalid";
  }
  return "unknown";
}

prometheus::Counter& Mails(mail::MailOutcome outcome) {
  return metrics::GetCounter("stockalert_mail_attempts_total", "Mails that were to be sent, by outcome",
                             {{"outcome", NameOf(outcome)}});
}

AttemptResult ResultOf(mail::MailResult sent) {
  AttemptResult result;
  result.error = std::move(sent.error);
  switch (sent.outcome) {
    case mail::MailOutcome::kServerFault:
      result.failure = AttemptFailure::kPostponed;
      result.postpone = sent.retry_after;
      return result;
    case mail::MailOutcome::kNotTried:
      result.failure = AttemptFailure::kNotAttempted;
      return result;
    case mail::MailOutcome::kInvalid:
      result.failure = AttemptFailure::kAddressRefused;
      return result;
    default:
      break;
  }
  // 4xx is the least of what a failure is answered; without an answer the connection broke.
  if (sent.outcome != mail::MailOutcome::kAccepted && sent.code < 400) {
    result.failure = AttemptFailure::kNoAnswer;
    return result;
  }
  result.error.clear();
  result.reply.status = sent.code;
  result.reply.body = std::move(sent.reply);
  result.reply.mail_outcome = sent.outcome;
  return result;
}

}  // namespace

MailRequestSender::MailRequestSender(mail::SmtpClient& client, RequestSender& others, PictureMaker* pictures)
    : client_(client), others_(others), pictures_(pictures) {
  using enum mail::MailOutcome;
  for (const mail::MailOutcome outcome : {kAccepted, kDeferred, kRefused, kNoMailbox, kServerFault}) Mails(outcome);
}

void MailRequestSender::Send(const OutgoingRequest& request, Done done) {
  const OutgoingMail* const outgoing = std::get_if<OutgoingMail>(&request);
  if (outgoing == nullptr) return others_.Send(request, std::move(done));
  const absl::Duration begin = base::MonotonicNow();
  const auto answered = [begin, done = std::move(done)](mail::MailResult sent) {
    Mails(sent.outcome).Increment();
    AttemptResult result = ResultOf(std::move(sent));
    result.duration = base::MonotonicNow() - begin;
    done(std::move(result));
  };
  if (pictures_ == nullptr || !outgoing->picture) return client_.Send(outgoing->mail, answered);
  mail::Mail mail = outgoing->mail;
  mail.parts = {outgoing->picture->part};
  client_.Send(mail, answered, [this, picture = *outgoing->picture](mail::Mail& begun) {
    std::optional<std::string> png = pictures_->Make(picture.chart);
    if (!png) return;
    begun.parts[0].bytes = *std::move(png);
    begun.html = picture.html;
  });
}

}  // namespace stockalert::notifier
