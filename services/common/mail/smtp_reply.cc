#include "services/common/mail/smtp_reply.h"

#include <cstddef>

#include "services/common/base/text.h"

namespace stockalert::mail {
namespace {

constexpr size_t kTextBytesMax = 1024;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

MailOutcome JudgeRecipient(const SmtpReply& reply) {
  const int code = reply.code();
  // A server that wants a login says so of every recipient.
  if (code == 530 || code == 535 || code == 538) return MailOutcome::kServerFault;
  const std::string enhanced = reply.enhanced_code();
  if (enhanced.empty())
    return code == 550 || code == 551 || code == 553 ? MailOutcome::kNoMailbox : MailOutcome::kRefused;
  // Bad address, or a mailbox that is disabled.
  return enhanced.starts_with("5.1.") || enhanced == "5.2.1" ? MailOutcome::kNoMailbox : MailOutcome::kRefused;
}

}  // namespace

void SmtpReply::AddLine(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.size() < 3 || !IsDigit(line[0]) || !IsDigit(line[1]) || !IsDigit(line[2])) return;
  if (whole_) Clear();
  code_ = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  whole_ = line.size() == 3 || line[3] != '-';
  if (line.size() <= 4) return;
  if (!text_.empty()) text_ += '\n';
  text_ = base::StorableText(text_ + std::string(line.substr(4)), kTextBytesMax);
}

void SmtpReply::Clear() { *this = SmtpReply(); }

std::string SmtpReply::enhanced_code() const {
  // class "." 1*3digit "." 1*3digit, at the beginning of the text.
  const size_t end = text_.find_first_not_of("0123456789.");
  const std::string code = text_.substr(0, end);
  const size_t first = code.find('.'), last = code.rfind('.');
  if (first != 1 || last <= first + 1 || last + 1 == code.size() || code.find('.', first + 1) != last) return "";
  return code;
}

MailOutcome JudgeReply(SmtpStage stage, const SmtpReply& reply) {
  const int code = reply.code();
  // 421: the server is closing the connection, whatever it was asked (RFC 5321, 3.8).
  if (stage == SmtpStage::kSession || stage == SmtpStage::kSender || code == 421) return MailOutcome::kServerFault;
  if (code >= 400 && code <= 499) return MailOutcome::kDeferred;
  if (code >= 500 && code <= 599) return stage == SmtpStage::kRecipient ? JudgeRecipient(reply) : MailOutcome::kRefused;
  // No reply. Once the content is on its way it may have been accepted, or be what broke the connection: such a mail
  // must not hold up the others.
  return stage == SmtpStage::kContent ? MailOutcome::kDeferred : MailOutcome::kServerFault;
}

}  // namespace stockalert::mail
