// Finnhub's REST calls, under the key's one budget.
//
// Thread-safe; a user's call does not wait behind a poll that hangs. The key goes in a header and is in no log line and
// no error. UNAUTHENTICATED: the key is not taken. RESOURCE_EXHAUSTED: the budget is used up (RetryInfo says when it is
// not). UNAVAILABLE: no answer, or one that nobody can read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/fetcher/finnhub_json.h"
#include "services/fetcher/rate_limiter.h"

namespace stockalert::fetcher {

struct FinnhubRestOptions {
  std::string url = "https://finnhub.io/api/v1";  // http:// is for a double on the same machine.
  std::string api_key;
  absl::Duration timeout = absl::Seconds(5);
};

// "scheme://host[:port]" and the path, without a slash at its end.
struct UrlParts {
  std::string scheme;
  std::string host;
  std::string port;  // The scheme's own where the URL has none.
  std::string path;
  std::string origin() const { return scheme + "://" + host + ":" + port; }
};
// INVALID_ARGUMENT: not a URL of one of the two schemes, or one with a user, a query or a fragment in it.
absl::StatusOr<UrlParts> ParseUrl(const std::string& url, const std::string& plain_scheme,
                                  const std::string& tls_scheme);

class FinnhubRest {
 public:
  // `limiter` must outlive it. `options.url` is one that ParseUrl takes.
  FinnhubRest(const FinnhubRestOptions& options, RateLimiter& limiter);
  ~FinnhubRest();

  absl::StatusOr<RestQuote> Quote(const std::string& symbol, RateLimiter::Priority priority);
  absl::StatusOr<std::vector<std::string>> Search(const std::string& text, RateLimiter::Priority priority);

 private:
  struct Connection;
  absl::StatusOr<std::string> Get(const std::string& call, const std::string& name, const std::string& value,
                                  RateLimiter::Priority priority);

  const FinnhubRestOptions options_;
  RateLimiter& limiter_;
  std::string path_;
  std::unique_ptr<Connection> polls_;
  std::unique_ptr<Connection> users_;
};

}  // namespace stockalert::fetcher
