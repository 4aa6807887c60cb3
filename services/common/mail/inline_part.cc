#include "services/common/mail/inline_part.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/mail/address.h"

namespace stockalert::mail {
namespace {

constexpr size_t kNameBytesMax = 64;

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
}

std::string IdOfPart(const MailHead& head, const std::string& name) {
  return absl::StrCat(name, ".", head.id, "@", DomainOf(head.from));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> PartHeaderLines(const MailHead& head, const InlinePart& part) {
  const std::string_view type = part.type;
  const size_t slash = std::min(type.find('/'), type.size());
  const std::string_view subtype = type.substr(std::min(slash + 1, type.size()));
  if (!IsName(part.name)) return absl::InvalidArgumentError("a part's name must be of letters, digits, _ and -");
  if (!IsName(type.substr(0, slash)) || !IsName(subtype))
    return absl::InvalidArgumentError("a part's type must be like image/png");
  return std::vector<std::string>{
      absl::StrCat("Content-ID: <", IdOfPart(head, part.name), ">"),
      absl::StrCat("Content-Disposition: inline; filename=\"", part.name, ".", base::ToAbsl(subtype), "\"")};
}

std::string UrlOfPart(const MailHead& head, const std::string& name) {
  return absl::StrCat("cid:", IdOfPart(head, name));
}

}  // namespace stockalert::mail
