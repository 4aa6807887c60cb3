// What a mail server's reply, or its absence, means (RFC 5321, 4.2; enhanced codes: RFC 3463). Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stockalert::mail {

// How far the dialogue had come.
enum class SmtpStage : uint8_t {
  kSession,    // Connection, TLS, login: no mail is concerned.
  kSender,     // MAIL was sent: it is the operator's address that is judged.
  kRecipient,  // RCPT was sent.
  kContent,    // DATA was sent.
};

enum class MailOutcome : uint8_t {
  kAccepted,
  kDeferred,     // Not now, for a reason of this mail or mailbox; or it is unknown whether it was accepted.
  kRefused,      // This mail never; others to the same mailbox perhaps.
  kNoMailbox,    // There is no such mailbox.
  kServerFault,  // The server cannot be used now: no mail is at fault.
  kNotTried,     // No room, or the client is being destroyed.
  kInvalid,      // It is no mail: an address is none.
};

// The lines of one reply, collected as they arrive.
class SmtpReply {
 public:
  void AddLine(std::string_view line);
  void Clear();
  // 0: none that is whole.
  int code() const { return whole_ ? code_ : 0; }
  // For people: its lines without their codes, at most 1 KiB.
  const std::string& text() const { return text_; }
  // "5.1.1"; empty: it has none.
  std::string enhanced_code() const;

 private:
  int code_ = 0;
  bool whole_ = false;
  std::string text_;
};

// Of a mail that was not accepted.
MailOutcome JudgeReply(SmtpStage stage, const SmtpReply& reply);

}  // namespace stockalert::mail
