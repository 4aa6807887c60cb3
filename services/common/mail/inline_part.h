// Something that the HTML of a mail shows and that is sent with it. As with a mail's own header, no value can add a
// field or break a line. Pure and thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/mail/mail_headers.h"

namespace stockalert::mail {

struct InlinePart {
  std::string name;   // [A-Za-z0-9_-]: each part's own in its mail.
  std::string type;   // "image/png": two such names.
  std::string bytes;  // Empty: the part is left out.
};

// Its Content-ID (RFC 2392) and Content-Disposition (RFC 2183), in a mail whose head HeaderLines takes.
// INVALID_ARGUMENT: the name or the type is not one.
absl::StatusOr<std::vector<std::string>> PartHeaderLines(const MailHead& head, const InlinePart& part);

// By which the HTML names a part: "cid:NAME.ID@DOMAIN".
std::string UrlOfPart(const MailHead& head, const std::string& name);

}  // namespace stockalert::mail
