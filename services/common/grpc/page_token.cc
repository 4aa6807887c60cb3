#include "services/common/grpc/page_token.h"

#include <algorithm>
#include <charconv>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"

namespace stockalert::rpc {
namespace {

constexpr int kPageSizeDefault = 50;
constexpr int kPageSizeMax = 1000;
constexpr size_t kChecksumBytes = 8;
constexpr size_t kTokenBytesMax = 4096;

void Put(std::string& out, std::string_view text) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

std::string Checksum(std::string_view scope, std::string_view place) {
  std::string all;
  Put(all, scope);
  Put(all, place);
  return base::Sha256(all).substr(0, kChecksumBytes);
}

absl::Status WrongToken() {
  return base::InvalidField("page_token",
                            "must be the next_page_token of the same list, with the same parent and filter",
                            "PAGE_TOKEN_INVALID");
}

}  // namespace

absl::StatusOr<int> ResolvePageSize(int32_t page_size) {
  if (page_size < 0) return base::InvalidField("page_size", "must not be negative");
  if (page_size == 0) return kPageSizeDefault;
  return std::min<int>(page_size, kPageSizeMax);
}

std::string PageScope(std::string_view method, std::string_view parent, std::string_view filter) {
  std::string scope;
  Put(scope, method);
  Put(scope, parent);
  Put(scope, filter);
  return scope;
}

std::string EncodePageToken(std::string_view scope, const std::vector<std::string>& place) {
  std::string parts;
  for (const std::string& part : place) Put(parts, part);
  return base::Base64UrlEncode(Checksum(scope, parts) + parts);
}

absl::StatusOr<std::vector<std::string>> DecodePageToken(std::string_view scope, std::string_view token, size_t parts) {
  if (token.empty()) return std::vector<std::string>();
  if (token.size() > kTokenBytesMax) return WrongToken();
  const std::optional<std::string> bytes = base::Base64UrlDecode(token);
  if (!bytes || bytes->size() <= kChecksumBytes) return WrongToken();
  std::string_view rest = std::string_view(*bytes).substr(kChecksumBytes);
  if (Checksum(scope, rest) != bytes->substr(0, kChecksumBytes)) return WrongToken();
  std::vector<std::string> place;
  while (!rest.empty()) {
    size_t size = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), size);
    const size_t digits = static_cast<size_t>(end - rest.data());
    if (error != std::errc() || digits >= rest.size() || *end != ':' || size > rest.size() - digits - 1)
      return WrongToken();
    place.emplace_back(rest.substr(digits + 1, size));
    rest.remove_prefix(digits + 1 + size);
  }
  if (place.size() != parts) return WrongToken();
  return place;
}

}  // namespace stockalert::rpc
