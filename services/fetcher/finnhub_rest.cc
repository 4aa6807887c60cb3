#include "services/fetcher/finnhub_rest.h"

#include <httplib.h>

#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::fetcher {
namespace {

constexpr size_t kReplyBytesMax = size_t{1024} * 1024;

void Count(const char* call, const char* outcome) {
  metrics::GetCounter("stockalert_fetcher_finnhub_calls_total", "REST calls to Finnhub by outcome",
                      {{"call", call}, {"outcome", outcome}})
      .Increment();
}

std::optional<int64_t> NumberHeader(const httplib::Result& result, const char* name) {
  int64_t number = 0;
  if (!result->has_header(name) || !absl::SimpleAtoi(result->get_header_value(name), &number)) return std::nullopt;
  return number;
}

}  // namespace

absl::StatusOr<UrlParts> ParseUrl(const std::string& url, const std::string& plain_scheme,
                                  const std::string& tls_scheme) {
  absl::Status wrong = absl::InvalidArgumentError(absl::StrCat(
      "must look like ", tls_scheme, "://host/path (or ", plain_scheme, "://, for a double on the same machine)"));
  UrlParts parts;
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string::npos) return wrong;
  parts.scheme = url.substr(0, scheme_end);
  if (parts.scheme != plain_scheme && parts.scheme != tls_scheme) return wrong;
  if (url.find_first_of("?#@ ") != std::string::npos) return wrong;
  const std::string rest = url.substr(scheme_end + 3);
  const size_t slash = rest.find('/');
  const std::string authority = rest.substr(0, slash);
  parts.path = slash == std::string::npos ? "" : rest.substr(slash);
  while (!parts.path.empty() && parts.path.back() == '/') parts.path.pop_back();
  const size_t colon = authority.rfind(':');
  parts.host = authority.substr(0, colon);
  parts.port = colon == std::string::npos ? (parts.scheme == tls_scheme ? "443" : "80") : authority.substr(colon + 1);
  int port = 0;
  if (parts.host.empty() || !absl::SimpleAtoi(parts.port, &port) || port < 1 || port > 65535) return wrong;
  return parts;
}

// One connection, kept alive, for one call at a time.
struct FinnhubRest::Connection {
  Connection(const std::string& origin, const FinnhubRestOptions& options) : client(origin) {
    client.set_keep_alive(true);
    client.set_connection_timeout(absl::ToChronoMicroseconds(options.timeout));
    client.set_read_timeout(absl::ToChronoMicroseconds(options.timeout));
    client.set_write_timeout(absl::ToChronoMicroseconds(options.timeout));
    client.set_default_headers({{"X-Finnhub-Token", options.api_key}, {"Accept", "application/json"}});
  }
  std::mutex mutex;
  httplib::Client client;  // Guarded by mutex.
};

FinnhubRest::FinnhubRest(const FinnhubRestOptions& options, RateLimiter& limiter)
    : options_(options), limiter_(limiter) {
  const UrlParts parts = ParseUrl(options.url, "http", "https").value();
  path_ = parts.path;
  polls_ = std::make_unique<Connection>(parts.origin(), options);
  users_ = std::make_unique<Connection>(parts.origin(), options);
}

FinnhubRest::~FinnhubRest() = default;

absl::StatusOr<std::string> FinnhubRest::Get(const std::string& call, const std::string& name, const std::string& value,
                                             RateLimiter::Priority priority) {
  if (const std::optional<absl::Duration> pause = limiter_.TryAcquire(priority)) {
    return base::ResourceExhausted("SOURCE_RATE_LIMIT", "the price source's calls are used up for now; try again later",
                                   pause);
  }
  Connection& connection = priority == RateLimiter::Priority::kUser ? *users_ : *polls_;
  std::lock_guard lock(connection.mutex);
  std::string body;
  const std::string path = httplib::append_query_params(absl::StrCat(path_, call), {{name, value}});
  const httplib::Result result = connection.client.Get(path.c_str(), [&](const char* data, size_t length) {
    if (body.size() + length > kReplyBytesMax) return false;
    body.append(data, length);
    return true;
  });
  if (!result) {
    Count(call.c_str(), "no_answer");
    return base::Unavailable(
        "SOURCE_UNAVAILABLE",
        absl::StrCat("the price source does not answer (", httplib::to_string(result.error()), "); try again later"));
  }
  const int code = result->status;
  // An empty or unknown key is answered as if there were too many calls; only the text tells.
  if (code == 401 || code == 403 || (code == 429 && absl::StrContains(body, "Please sign up"))) {
    Count(call.c_str(), "key_refused");
    return base::Unauthenticated("SOURCE_KEY_REFUSED", "the price source does not take the key: see FINNHUB_API_KEY");
  }
  if (code == 429) {
    Count(call.c_str(), "too_many");
    std::optional<absl::Duration> retry_after;
    if (const auto seconds = NumberHeader(result, "Retry-After")) retry_after = absl::Seconds(*seconds);
    limiter_.OnRefused(retry_after);
    return base::ResourceExhausted("SOURCE_RATE_LIMIT", "the price source refuses more calls for now; try again later",
                                   retry_after.value_or(absl::Seconds(5)));
  }
  if (code != 200) {
    Count(call.c_str(), "error");
    return base::Unavailable("SOURCE_UNAVAILABLE",
                             absl::StrCat("the price source answers with HTTP ", code, "; try again later"));
  }
  std::optional<absl::Time> reset;
  if (const auto seconds = NumberHeader(result, "X-Ratelimit-Reset")) reset = absl::FromUnixSeconds(*seconds);
  limiter_.OnAnswered(NumberHeader(result, "X-Ratelimit-Remaining"), reset);
  Count(call.c_str(), "ok");
  return body;
}

absl::StatusOr<RestQuote> FinnhubRest::Quote(const std::string& symbol, RateLimiter::Priority priority) {
  const absl::StatusOr<std::string> body = Get("/quote", "symbol", symbol, priority);
  if (!body.ok()) return body.status();
  absl::StatusOr<RestQuote> quote = ParseRestQuote(*body);
  if (!quote.ok())
    return base::Unavailable("SOURCE_UNAVAILABLE", "the price source's reply cannot be read; try again later");
  return quote;
}

absl::StatusOr<std::vector<std::string>> FinnhubRest::Search(const std::string& text, RateLimiter::Priority priority) {
  const absl::StatusOr<std::string> body = Get("/search", "q", text, priority);
  if (!body.ok()) return body.status();
  absl::StatusOr<std::vector<std::string>> symbols = ParseSearch(*body);
  if (!symbols.ok())
    return base::Unavailable("SOURCE_UNAVAILABLE", "the price source's reply cannot be read; try again later");
  return symbols;
}

}  // namespace stockalert::fetcher
