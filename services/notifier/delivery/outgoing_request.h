// What is sent in one attempt at a delivery, and what is answered, by any protocol.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "services/common/http/http_method.h"
#include "services/common/mail/mail.h"
#include "services/common/mail/smtp_reply.h"
#include "services/notifier/picture/chart_layout.h"

namespace stockalert::notifier {

struct OutgoingHttp {
  http::HttpMethod method = http::HttpMethod::kPost;
  std::string url;                   // DestinationUrl::url.
  std::vector<std::string> headers;  // "Name: value". They and the URL may hold secrets.
  std::string body;
  // The URL is the operator's, not a user's: it may be of an internal host.
  bool trusted_by_operator = false;
};

// A picture that a mail can do without: it is drawn when the mail's turn has come.
struct OutgoingPicture {
  ChartInput chart;       // Without its bars.
  mail::InlinePart part;  // Without its bytes.
  std::string html;       // The mail's, with the picture.
};

struct OutgoingMail {
  mail::Mail mail;
  std::optional<OutgoingPicture> picture;
};

// One alternative for each protocol; the sender visits it.
using OutgoingRequest = std::variant<OutgoingHttp, OutgoingMail>;

struct ServiceReply {
  int status = 0;                                                 // HTTP's or SMTP's.
  std::map<std::string, std::string> headers;                     // Names in lower case.
  std::string body;                                               // The beginning of a long one.
  mail::MailOutcome mail_outcome = mail::MailOutcome::kAccepted;  // Of a mail.
};

}  // namespace stockalert::notifier
