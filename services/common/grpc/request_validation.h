// Checks that every request needs: text, request ids, field masks. They collect violations, to report all at once.
//
// Pure and thread-safe.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/message.h>

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/base/error.h"

namespace stockalert::rpc {

// Limits for every request, checked before anything else reads it, so that the work for a request stays bounded. The
// handlers' own rules are narrower.
inline constexpr int kRepeatedMax = 100;
inline constexpr size_t kStringBytesMax = 4096;
// The limit of one repeated field: kRepeatedMax, apart from the exceptions in a table.
int RepeatedMax(const google::protobuf::FieldDescriptor& field);
// The limit of one text in bytes: kStringBytesMax, apart from the exceptions in a table.
size_t StringBytesMax(const google::protobuf::FieldDescriptor& field);
// INVALID_ARGUMENT names the first field with too many elements or bytes. Reads no further than the limits.
absl::Status CheckRequestSize(const google::protobuf::Message& request);

// The number of code points, or none where `text` is not valid UTF-8 or holds NUL or another control character but tab
// and newline.
std::optional<size_t> CountCharacters(std::string_view text);

// `text` is valid and has min to max characters. Answers whether it is so.
bool CheckText(base::FieldViolations& violations, std::string_view field, std::string_view text, size_t min_characters,
               size_t max_characters);

inline constexpr size_t kRequestIdMax = 64;
// Empty, or 1 to 64 of [A-Za-z0-9_-].
bool CheckRequestId(base::FieldViolations& violations, std::string_view field, std::string_view request_id);

// The fields to change: the mask's paths, each of which must be in `allowed` ("*" stands for all of them). An absent or
// empty mask: `set_fields`, those that the message has set. Unknown paths are violations of `field`.
std::set<std::string> ResolveFieldMask(base::FieldViolations& violations, std::string_view field,
                                       const google::protobuf::FieldMask& mask, const std::set<std::string>& allowed,
                                       const std::set<std::string>& set_fields);

// A weak, opaque etag of a resource's id and row version.
std::string MakeEtag(std::string_view id, int64_t version);
// OK where `given` is empty or is MakeEtag(id, version); else ABORTED (ETAG_MISMATCH).
absl::Status CheckEtag(std::string_view given, std::string_view id, int64_t version);

}  // namespace stockalert::rpc
