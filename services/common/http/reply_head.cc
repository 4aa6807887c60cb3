#include "services/common/http/reply_head.h"

#include "absl/strings/ascii.h"
#include "services/common/base/abseil.h"

namespace stockalert::http {

bool ReplyHead::AddLine(std::string_view line) {
  bytes_ += line.size();
  if (bytes_ > bytes_max_) return false;
  if (line.starts_with("HTTP/")) {
    // Of those before nothing counts.
    headers_.clear();
    const size_t space = line.find(' ');
    interim_ = space != std::string_view::npos && line.substr(space + 1).starts_with("1");
    return true;
  }
  if (line == "\r\n" || line == "\n") whole_ = !interim_;
  const size_t colon = line.find(':');
  if (colon != std::string_view::npos) {
    headers_[absl::AsciiStrToLower(base::ToAbsl(line.substr(0, colon)))] =
        std::string(base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(line.substr(colon + 1)))));
  }
  return true;
}

}  // namespace stockalert::http
