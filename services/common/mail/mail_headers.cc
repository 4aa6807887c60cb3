#include "services/common/mail/mail_headers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/base/abseil.h"
#include "services/common/base/status_macros.h"
#include "services/common/base/text.h"
#include "services/common/mail/address.h"

namespace stockalert::mail {
namespace {

constexpr size_t kLineBytesMax = 76;
constexpr size_t kSubjectBytesMax = 400;
constexpr char kWordBegin[] = "=?UTF-8?B?";
constexpr char kWordEnd[] = "?=";
// RFC 2047, 2: of a word, and of a line that has one.
constexpr size_t kWordCharactersMax = 75;

bool IsAlnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsPrintable(char c) { return c >= 0x20 && c <= 0x7e; }

// Valid UTF-8 of one line: control characters become spaces, spaces at its ends go.
std::string Cleaned(std::string_view text) {
  std::string line = base::StorableText(text, kSubjectBytesMax);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  const size_t begin = line.find_first_not_of(' ');
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(' ') - begin + 1);
}

// Encoded words, a line each; the first one stands beside `used` columns.
std::string Words(std::string_view text, size_t used) {
  std::string words;
  while (!text.empty()) {
    const size_t room = words.empty() ? std::min(kLineBytesMax - used, kWordCharactersMax) : kWordCharactersMax;
    size_t length = std::min(text.size(), (room - std::string_view(kWordBegin).size() - 2) / 4 * 3);
    while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
    if (!words.empty()) words += "\r\n ";
    absl::StrAppend(&words, kWordBegin, absl::Base64Escape(base::ToAbsl(text.substr(0, length))), kWordEnd);
    text.remove_prefix(length);
  }
  return words;
}

// RFC 6068: what has a meaning in a URL is escaped.
std::string EscapeForMailto(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (IsAlnum(c) || std::string_view("-._~@").find(c) != std::string_view::npos) {
      escaped += c;
    } else {
      absl::StrAppend(&escaped, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return escaped;
}

absl::Status CheckAddress(const char* what, const std::string& address) {
  const absl::Status checked = ParseAddress(address).status();
  if (checked.ok()) return checked;
  return absl::InvalidArgumentError(absl::StrCat(what, " ", checked.message()));
}

bool IsId(const std::string& id) {
  return !id.empty() && id.size() <= 128 &&
         std::all_of(id.begin(), id.end(), [](char c) { return IsAlnum(c) || c == '_' || c == '-'; });
}

constexpr size_t kUrlBytesMax = 900;

bool IsUrl(const std::string& url) {
  return url.starts_with("https://") && url.size() <= kUrlBytesMax &&
         std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && IsPrintable(c) && c != '<' && c != '>'; });
}

// The ways to unsubscribe.
absl::Status AddUnsubscribe(const MailHead& head, std::vector<std::string>& lines) {
  STOCKALERT_RETURN_IF_ERROR(CheckAddress("the address to unsubscribe", head.unsubscribe));
  std::string line = absl::StrCat("List-Unsubscribe: <mailto:", EscapeForMailto(head.unsubscribe),
                                  "?subject=", EscapeForMailto(Cleaned(head.unsubscribe_subject)), ">");
  if (!head.unsubscribe_url.empty()) {
    if (!IsUrl(head.unsubscribe_url)) return absl::InvalidArgumentError("the URL to unsubscribe must be an https one");
    absl::StrAppend(&line, ",\r\n <", head.unsubscribe_url, ">");
  }
  lines.push_back(std::move(line));
  if (!head.unsubscribe_url.empty()) lines.emplace_back("List-Unsubscribe-Post: List-Unsubscribe=One-Click");
  return absl::OkStatus();
}

}  // namespace

std::string EncodedText(std::string_view text, size_t used) {
  const std::string line = Cleaned(text);
  const bool plain = std::all_of(line.begin(), line.end(), IsPrintable) && line.find("=?") == std::string::npos;
  if (plain && used + line.size() <= kLineBytesMax) return line;
  return Words(line, used);
}

std::string EncodedPhrase(std::string_view text, size_t used) {
  const std::string line = Cleaned(text);
  const auto is_plain = [](char c) { return IsAlnum(c) || c == ' '; };
  if (std::all_of(line.begin(), line.end(), is_plain) && used + line.size() <= kLineBytesMax) return line;
  return Words(line, used);
}

std::string DateText(int64_t time_us) {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S +0000", absl::FromUnixMicros(time_us), absl::UTCTimeZone());
}

absl::StatusOr<std::vector<std::string>> HeaderLines(const MailHead& head) {
  STOCKALERT_RETURN_IF_ERROR(CheckAddress("the sender", head.from));
  STOCKALERT_RETURN_IF_ERROR(CheckAddress("the recipient", head.to));
  if (!IsId(head.id)) return absl::InvalidArgumentError("the id must be of letters, digits, _ and -");
  const std::string name = EncodedPhrase(head.from_name, std::string_view("From: ").size());
  // The address on a line of its own where it would make the name's too long.
  const char* space = name.empty()                                                                  ? ""
                      : name.find('\r') != std::string::npos || name.size() + head.from.size() > 60 ? "\r\n "
                                                                                                    : " ";
  std::vector<std::string> lines = {
      absl::StrCat("Date: ", DateText(head.date_us)),
      absl::StrCat("From: ", name, space, "<", head.from, ">"),
      absl::StrCat("To: <", head.to, ">"),
      absl::StrCat("Subject: ", EncodedText(head.subject, std::string_view("Subject: ").size())),
      absl::StrCat("Message-ID: <", head.id, "@", DomainOf(head.from), ">"),
      "Auto-Submitted: auto-generated",
  };
  if (!head.unsubscribe.empty()) STOCKALERT_RETURN_IF_ERROR(AddUnsubscribe(head, lines));
  return lines;
}

}  // namespace stockalert::mail
