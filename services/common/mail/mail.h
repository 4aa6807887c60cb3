// A mail to one recipient.
#pragma once

#include <string>
#include <vector>

#include "services/common/mail/inline_part.h"
#include "services/common/mail/mail_headers.h"

namespace stockalert::mail {

// Texts are UTF-8 with lines that end with CRLF; they are sent as quoted-printable, so that no line is too long
// (RFC 5322, 2.1.1).
struct Mail {
  MailHead head;
  std::string text;
  std::string html;
  std::vector<InlinePart> parts = {};  // What the HTML shows, by their UrlOfPart.
};

}  // namespace stockalert::mail
