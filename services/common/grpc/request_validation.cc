#include "services/common/grpc/request_validation.h"

#include <algorithm>

#include "services/common/base/ids.h"

namespace stockalert::rpc {
namespace {

// The bytes of the UTF-8 sequence that begins the text, and its code point; 0 bytes where it is none.
std::pair<size_t, uint32_t> FirstCodePoint(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  size_t length = 0;
  uint32_t code = 0;
  uint32_t least = 0;
  if (first < 0x80) return {1, first};
  if ((first & 0xe0) == 0xc0) {
    length = 2, code = first & 0x1fu, least = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    length = 3, code = first & 0x0fu, least = 0x800;
  } else if ((first & 0xf8) == 0xf0) {
    length = 4, code = first & 0x07u, least = 0x10000;
  } else {
    return {0, 0};
  }
  if (text.size() < length) return {0, 0};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0, 0};
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {0, 0};
  return {length, code};
}

// Repeated fields that may have more than kRepeatedMax elements: those of calls that carry many by design.
struct RepeatedBound {
  std::string_view field;
  int max;
};
constexpr RepeatedBound kRepeatedBounds[] = {{"stockalert.ticker.v1.PublishQuotesRequest.quotes", 1000},
                                             {"stockalert.internal.v1.PublishQuotesRequest.quotes", 1000},
                                             {"stockalert.internal.v1.GetLastPricesRequest.symbols", 1000},
                                             {"stockalert.internal.v1.FindDestinationsRequest.destination_ids", 1000}};

// Texts that may have more than kStringBytesMax bytes: templates, four bytes a character.
struct StringBound {
  std::string_view field;
  size_t bytes_max;
};
constexpr StringBound kStringBounds[] = {{"stockalert.notification.v1.HttpCall.body_template", 40'000},
                                         {"stockalert.notification.v1.MessageTemplate.text", 40'000}};

struct Excess {
  std::string path;  // Of the field, from the message that was looked at.
  std::string rule;
};

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::optional<Excess> FindExcess(const Message& message);

// `index` is -1 for a field that is not repeated.
std::optional<Excess> FindExcessIn(const Message& message, const FieldDescriptor& field, int index) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const auto path = [&] { return index < 0 ? field.name() : field.name() + "[" + std::to_string(index) + "]"; };
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    std::string scratch;
    const std::string& text = index < 0 ? reflection.GetStringReference(message, &field, &scratch)
                                        : reflection.GetRepeatedStringReference(message, &field, index, &scratch);
    if (text.size() > StringBytesMax(field))
      return Excess{path(), "must have at most " + std::to_string(StringBytesMax(field)) + " bytes"};
  } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    std::optional<Excess> excess = FindExcess(index < 0 ? reflection.GetMessage(message, &field)
                                                        : reflection.GetRepeatedMessage(message, &field, index));
    if (excess) excess->path = path() + "." + excess->path;
    return excess;
  }
  return std::nullopt;
}

std::optional<Excess> FindExcess(const Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated()) {
      if (std::optional<Excess> excess = FindExcessIn(message, *field, -1)) return excess;
      continue;
    }
    const int size = reflection.FieldSize(message, field);
    if (size > RepeatedMax(*field))
      return Excess{field->name(), "must have at most " + std::to_string(RepeatedMax(*field)) + " elements"};
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING && field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
      continue;
    for (int i = 0; i < size; ++i) {
      if (std::optional<Excess> excess = FindExcessIn(message, *field, i)) return excess;
    }
  }
  return std::nullopt;
}

}  // namespace

int RepeatedMax(const FieldDescriptor& field) {
  for (const RepeatedBound& bound : kRepeatedBounds) {
    if (bound.field == field.full_name()) return bound.max;
  }
  return kRepeatedMax;
}

size_t StringBytesMax(const FieldDescriptor& field) {
  for (const StringBound& bound : kStringBounds) {
    if (bound.field == field.full_name()) return bound.bytes_max;
  }
  return kStringBytesMax;
}

absl::Status CheckRequestSize(const Message& request) {
  const std::optional<Excess> excess = FindExcess(request);
  return excess ? base::InvalidField(excess->path, excess->rule) : absl::OkStatus();
}

std::optional<size_t> CountCharacters(std::string_view text) {
  size_t count = 0;
  while (!text.empty()) {
    const auto [length, code] = FirstCodePoint(text);
    if (length == 0) return std::nullopt;
    if ((code < 0x20 && code != '\t' && code != '\n') || (code >= 0x7f && code < 0xa0)) return std::nullopt;
    text.remove_prefix(length);
    ++count;
  }
  return count;
}

bool CheckText(base::FieldViolations& violations, std::string_view field, std::string_view text, size_t min_characters,
               size_t max_characters) {
  const std::optional<size_t> count = CountCharacters(text);
  if (!count) return violations.Check(false, field, "must be valid text, without control characters");
  if (*count < min_characters && *count == 0) return violations.Check(false, field, "is required");
  return violations.Check(
      *count >= min_characters && *count <= max_characters, field,
      "must have " + std::to_string(min_characters) + " to " + std::to_string(max_characters) + " characters");
}

bool CheckRequestId(base::FieldViolations& violations, std::string_view field, std::string_view request_id) {
  const bool plain = std::all_of(request_id.begin(), request_id.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return violations.Check(plain && request_id.size() <= kRequestIdMax, field,
                          "must be 1 to 64 of the characters A-Z a-z 0-9 _ -");
}

std::set<std::string> ResolveFieldMask(base::FieldViolations& violations, std::string_view field,
                                       const google::protobuf::FieldMask& mask, const std::set<std::string>& allowed,
                                       const std::set<std::string>& set_fields) {
  if (mask.paths().empty()) return set_fields;
  std::string known;
  for (const std::string& path : allowed) known += (known.empty() ? "" : ", ") + path;
  std::set<std::string> paths;
  for (const std::string& path : mask.paths()) {
    if (path == "*") {
      paths.insert(allowed.begin(), allowed.end());
    } else if (allowed.contains(path)) {
      paths.insert(path);
    } else {
      // What was sent may be anything, so it is not repeated.
      violations.Add(field, "has a path that cannot be changed; these can: " + known);
      return {};
    }
  }
  return paths;
}

std::string MakeEtag(std::string_view id, int64_t version) {
  return "W/\"" + base::Base64UrlEncode(base::Sha256(std::string(id) + "/" + std::to_string(version)).substr(0, 9)) +
         "\"";
}

absl::Status CheckEtag(std::string_view given, std::string_view id, int64_t version) {
  if (given.empty() || given == MakeEtag(id, version)) return absl::OkStatus();
  return base::EtagMismatch();
}

}  // namespace stockalert::rpc
