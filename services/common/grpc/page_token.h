// Page sizes and page tokens. Tokens are opaque, URL-safe, and valid only for the list that they came from.
//
// Pure and thread-safe. The checksum detects tokens from elsewhere. It is not secret, so check what a token contains
// like any input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stockalert::rpc {

// 0 becomes 50, above 1000 becomes 1000; INVALID_ARGUMENT (page_size) below 0.
absl::StatusOr<int> ResolvePageSize(int32_t page_size);

// What a token is bound to.
std::string PageScope(std::string_view method, std::string_view parent, std::string_view filter = "");

// `place`: what the next page begins after, as in {create_time, id}.
std::string EncodePageToken(std::string_view scope, const std::vector<std::string>& place);
// Empty for an empty token (the first page), else exactly `parts` parts. INVALID_ARGUMENT (page_token) for what
// EncodePageToken did not make for this scope.
absl::StatusOr<std::vector<std::string>> DecodePageToken(std::string_view scope, std::string_view token, size_t parts);

}  // namespace stockalert::rpc
