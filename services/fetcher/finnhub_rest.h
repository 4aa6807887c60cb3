// Finnhub's REST calls, under the key's one budget.
//
// Thread-safe. Calls do not wait for each other: many are under way at once, with separate limits for polls and for
// users' calls, and one time limit covers each whole call (common/http/http_client.h). The key goes in a header and
// appears in no log line and no error. Errors:
//   - UNAUTHENTICATED (SOURCE_KEY_REFUSED): the key is refused.
//   - PERMISSION_DENIED (SYMBOL_NOT_IN_PLAN): the key is good, but not for this; (SOURCE_REFUSES_SYMBOL): a 403 that
//   does
//     not say so.
//   - RESOURCE_EXHAUSTED (SOURCE_RATE_LIMIT, USER_SHARE_USED, SOURCE_BUSY): the budget is used up; RetryInfo says until
//     when. A call that the source itself refused for being too many has the metadata `refused`.
//   - UNAVAILABLE (SOURCE_UNAVAILABLE): no complete answer in time, or an unreadable one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/http/http_client.h"
#include "services/fetcher/finnhub_json.h"
#include "services/fetcher/rate_limiter.h"

namespace stockalert::fetcher {

inline constexpr char kReasonNotInPlan[] = "SYMBOL_NOT_IN_PLAN";
inline constexpr char kMetadataRefused[] = "refused";

struct FinnhubRestOptions {
  std::string url = "https://finnhub.io/api/v1";  // http:// is for a double on the same machine.
  std::string api_key;
  // The time limit of a whole call.
  absl::Duration timeout = absl::Seconds(5);
  // Under way at once, of polls and of users' calls each; and of one user's.
  size_t in_flight_max = 16;
  size_t in_flight_per_user_max = 4;
  // Called on the event loop, each round.
  std::function<void()> on_turn = {};
};

// Whose call it is.
struct CallFor {
  RateLimiter::Priority priority = RateLimiter::Priority::kUser;
  std::string user = {};
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
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  // `limiter` must outlive it. `options.url` is one that ParseUrl takes.
  FinnhubRest(const FinnhubRestOptions& options, RateLimiter& limiter);
  // Every call is answered before it returns.
  ~FinnhubRest();

  // `done` is called once: here, if the call is not made, otherwise on the event loop, where it must be quick.
  void Quote(const std::string& symbol, const CallFor& whose, Done<RestQuote> done);
  void Search(const std::string& text, const CallFor& whose, Done<std::vector<std::string>> done);

 private:
  void Get(const char* call, const std::string& name, const std::string& value, const CallFor& whose,
           Done<std::string> done);
  absl::StatusOr<std::string> Read(const char* call, absl::StatusOr<http::HttpReply> reply);

  const FinnhubRestOptions options_;
  RateLimiter& limiter_;
  std::string base_;
  base::Mutex mutex_;
  std::unordered_map<std::string, size_t> in_flight_of_user_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<http::HttpClient> http_;  // Its callbacks use what is above.
};

}  // namespace stockalert::fetcher
