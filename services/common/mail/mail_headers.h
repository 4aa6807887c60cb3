// The header fields of a mail. No value can add a field or break a line: text that people read is cleaned and encoded,
// anything else is refused. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::mail {

struct MailHead {
  std::string from;       // An address.
  std::string from_name;  // Shown beside it.
  std::string to;         // An address.
  std::string subject;    // Any text; of invalid UTF-8 and control characters it is cleaned.
  std::string id;         // The same for each attempt, [A-Za-z0-9_-]: becomes the Message-ID with the domain of `from`.
  int64_t date_us = 0;    // Unix.
  std::string unsubscribe;  // An address; empty: no List-Unsubscribe.
  std::string unsubscribe_subject;
  // An https URL that takes a POST to unsubscribe, beside the address; empty: none.
  std::string unsubscribe_url = {};
};

// "Name: value" each, without the end of its line; a long one is folded (RFC 5322, 2.2.3). INVALID_ARGUMENT: an
// address, the id or the URL is not one.
// Auto-Submitted (RFC 3834, 5) keeps vacation responders from answering; List-Unsubscribe is that of RFC 2369 (3.2),
// with a URL also the one-click form of RFC 8058.
absl::StatusOr<std::vector<std::string>> HeaderLines(const MailHead& head);

// Text of a field whose name takes `used` columns: as it is if that is printable ASCII on one short line, else as
// encoded words (RFC 2047) of at most 75 characters, a line each, none of which splits a character.
std::string EncodedText(std::string_view text, size_t used);

// A phrase in front of an address: quoted or encoded where it has to be.
std::string EncodedPhrase(std::string_view text, size_t used);

// "Mon, 23 Nov 2026 14:30:00 +0000" (RFC 5322, 3.3).
std::string DateText(int64_t time_us);

}  // namespace stockalert::mail
