#include "services/common/grpc/resource_name.h"

#include <algorithm>
#include <optional>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"

namespace stockalert::rpc {
namespace {

constexpr size_t kSymbolBytesMax = 64;
constexpr size_t kNumberDigitsMax = 18;

std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t slash = text.find('/');
    parts.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    text.remove_prefix(slash + 1);
  }
}

bool IsVariable(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// The segment as it is stored, or none where it cannot be one.
std::optional<std::string> TakeSegment(std::string_view variable, std::string_view segment) {
  if (variable == "{symbol}") {
    const bool printable = std::all_of(segment.begin(), segment.end(), [](char c) { return c > ' ' && c <= '~'; });
    if (segment.empty() || segment.size() > kSymbolBytesMax || !printable) return std::nullopt;
    return std::string(segment);
  }
  if (variable == "{n}") {
    const bool digits = std::all_of(segment.begin(), segment.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (segment.empty() || segment.size() > kNumberDigitsMax || !digits || segment.front() == '0') return std::nullopt;
    return std::string(segment);
  }
  if (variable == "{user}" && segment == "me") return std::string("me");
  std::string id = Lower(segment);
  if (!base::IsUuid(id)) return std::nullopt;
  return id;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseName(std::string_view pattern, std::string_view name,
                                                   std::string_view field) {
  absl::Status wrong = base::InvalidField(
      field, "must be a name as in " + std::string(pattern) + ", with the ids that the service gave");
  const std::vector<std::string_view> expected = Split(pattern);
  if (std::count(name.begin(), name.end(), '/') + 1 != static_cast<std::ptrdiff_t>(expected.size())) return wrong;
  const std::vector<std::string_view> given = Split(name);
  std::vector<std::string> segments;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!IsVariable(expected[i])) {
      if (given[i] != expected[i]) return wrong;
      continue;
    }
    std::optional<std::string> segment = TakeSegment(expected[i], given[i]);
    if (!segment) return wrong;
    segments.push_back(*std::move(segment));
  }
  return segments;
}

absl::StatusOr<std::vector<std::string>> ParseOwnName(const Caller& caller, std::string_view pattern,
                                                      std::string_view name, std::string_view field,
                                                      std::string_view missing_reason) {
  STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> segments, ParseName(pattern, name, field));
  if (segments[0] == "me") {
    if (caller.user_id.empty())
      return base::InvalidField(field,
                                "must name the user: the administrator's key is no user's, so there is no users/me");
    segments[0] = caller.user_id;
  } else if (segments[0] != caller.user_id && !caller.is_administrator) {
    return ResourceNotFound(missing_reason, name);
  }
  return segments;
}

absl::Status ResourceNotFound(std::string_view missing_reason, std::string_view name) {
  return base::NotFound(missing_reason, "there is no " + std::string(name) + " that this key reaches",
                        {{"name", std::string(name)}});
}

std::string FormatName(std::string_view pattern, const std::vector<std::string>& segments) {
  std::string name;
  size_t next = 0;
  for (const std::string_view part : Split(pattern)) {
    if (!name.empty()) name += '/';
    if (IsVariable(part)) {
      name += segments.at(next++);
    } else {
      name += part;
    }
  }
  return name;
}

}  // namespace stockalert::rpc
