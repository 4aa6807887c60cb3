#include "services/fetcher/finnhub_rest.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::fetcher {
namespace {

void Count(const char* call, const char* outcome) {
  metrics::GetCounter("stockalert_fetcher_finnhub_calls_total", "REST calls to Finnhub by outcome",
                      {{"call", call}, {"outcome", outcome}})
      .Increment();
}

}  // namespace

absl::StatusOr<UrlParts> ParseUrl(const std::string& url, const std::string& plain_scheme,
                                  const std::string& tls_scheme) {
  absl::Status wrong = absl::InvalidArgumentError(absl::StrCat("must look like ", tls_scheme, "://host/path (or ",
                                                               plain_scheme, "://, for a double on the same machine)"));
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

FinnhubRest::FinnhubRest(const FinnhubRestOptions& options, RateLimiter& limiter)
    : options_(options), limiter_(limiter) {
  const UrlParts parts = ParseUrl(options.url, "http", "https").value();
  base_ = absl::StrCat(parts.origin(), parts.path);
  http_ = std::make_unique<http::HttpClient>(
      http::HttpClientOptions{.headers = {"X-Finnhub-Token: " + options.api_key, "Accept: application/json"},
                              .timeout = options.timeout,
                              .lanes = 2,
                              .in_flight_max = options.in_flight_max,
                              .waiting_max = 4 * options.in_flight_max,
                              .on_turn = options.on_turn});
}

FinnhubRest::~FinnhubRest() { http_.reset(); }

absl::StatusOr<std::string> FinnhubRest::Read(const char* call, absl::StatusOr<http::HttpReply> reply) {
  if (!reply.ok()) {
    Count(call, absl::IsDeadlineExceeded(reply.status()) ? "timed_out" : "no_answer");
    return base::Unavailable("SOURCE_UNAVAILABLE", absl::StrCat("the price source does not answer (",
                                                                reply.status().message(), "); try again later"));
  }
  const int code = reply->status;
  const auto number = [&](const char* name) -> std::optional<int64_t> {
    int64_t value = 0;
    const auto header = reply->headers.find(name);
    if (header == reply->headers.end() || !absl::SimpleAtoi(header->second, &value)) return std::nullopt;
    return value;
  };
  // An empty or unknown key is answered as if there were too many calls; only the text tells.
  if (code == 401 || (code == 429 && absl::StrContains(reply->body, "Please sign up"))) {
    Count(call, "key_refused");
    return base::Unauthenticated("SOURCE_KEY_REFUSED", "the price source does not take the key: see FINNHUB_API_KEY");
  }
  if (code == 403) {
    // Mostly the symbol's, not the key's: only if everything is answered so is it the key.
    Count(call, "denied");
    if (absl::StrContains(reply->body, "have access")) {
      return base::PermissionDenied(kReasonNotInPlan, "the operator's plan at the price source does not include it");
    }
    return base::PermissionDenied("SOURCE_REFUSES_SYMBOL", "the price source refuses it, without saying why");
  }
  if (code == 429) {
    Count(call, "too_many");
    std::optional<absl::Duration> retry_after;
    if (const auto seconds = number("retry-after")) retry_after = absl::Seconds(*seconds);
    limiter_.OnRefused(retry_after);
    return base::ResourceExhausted(
        "SOURCE_RATE_LIMIT", "the price source refuses more calls for now; try again later",
        std::clamp(retry_after.value_or(absl::Seconds(5)), absl::Seconds(1), absl::Minutes(1)),
        {{kMetadataRefused, "true"}});
  }
  if (code != 200) {
    Count(call, "error");
    return base::Unavailable("SOURCE_UNAVAILABLE",
                             absl::StrCat("the price source answers with HTTP ", code, "; try again later"));
  }
  std::optional<absl::Duration> reset_in;
  if (const auto seconds = number("x-ratelimit-reset")) reset_in = absl::FromUnixSeconds(*seconds) - absl::Now();
  limiter_.OnAnswered(number("x-ratelimit-remaining"), reset_in);
  Count(call, "ok");
  return std::move(reply->body);
}

void FinnhubRest::Get(const char* call, const std::string& name, const std::string& value, const CallFor& whose,
                      Done<std::string> done) {
  const bool polls = whose.priority == RateLimiter::Priority::kPoll;
  if (!polls) {
    // Calls that hang must not take all places from the other users.
    bool too_many = false;
    {
      base::MutexLock lock(mutex_);
      size_t& in_flight = in_flight_of_user_[whose.user];
      too_many = !whose.user.empty() && in_flight >= options_.in_flight_per_user_max;
      if (!too_many) ++in_flight;
    }
    if (too_many) {
      return done(base::ResourceExhausted(
          "SOURCE_BUSY", "too many of your calls wait for the price source; try again in a moment", absl::Seconds(1)));
    }
  }
  const auto leave = [this, polls, user = whose.user] {
    if (polls) return;
    base::MutexLock lock(mutex_);
    const auto in_flight = in_flight_of_user_.find(user);
    if (--in_flight->second == 0) in_flight_of_user_.erase(in_flight);
  };
  if (const auto wait = limiter_.TryAcquire(whose.priority, whose.user)) {
    leave();
    // Polls wait for their turn all the time.
    if (!polls) Count(call, wait->own_share ? "user_share_used" : "budget_used");
    return done(
        wait->own_share
            ? base::ResourceExhausted("USER_SHARE_USED",
                                      "your share of the price source's calls is used up for now; try again later",
                                      wait->pause)
            : base::ResourceExhausted("SOURCE_RATE_LIMIT",
                                      "the price source's calls are used up for now; try again later", wait->pause));
  }
  http_->Send(
      {.url = absl::StrCat(base_, call, "?", name, "=", http::EscapeForUrl(value)),
       .lane = polls ? size_t{0} : size_t{1}},
      [this, call, leave, done = std::move(done)](absl::StatusOr<http::HttpReply> reply) {
        leave();
        if (absl::IsResourceExhausted(reply.status())) {
          Count(call, "busy");
          return done(base::ResourceExhausted(
              "SOURCE_BUSY", "too many calls wait for the price source; try again in a moment", absl::Seconds(1)));
        }
        done(Read(call, std::move(reply)));
      });
}

namespace {

absl::Status Unreadable() {
  return base::Unavailable("SOURCE_UNAVAILABLE", "the price source's reply cannot be read; try again later");
}

}  // namespace

void FinnhubRest::Quote(const std::string& symbol, const CallFor& whose, Done<RestQuote> done) {
  Get("/quote", "symbol", symbol, whose, [done = std::move(done)](absl::StatusOr<std::string> body) {
    if (!body.ok()) return done(body.status());
    absl::StatusOr<RestQuote> quote = ParseRestQuote(*body);
    done(quote.ok() ? std::move(quote) : Unreadable());
  });
}

void FinnhubRest::Search(const std::string& text, const CallFor& whose, Done<std::vector<std::string>> done) {
  Get("/search", "q", text, whose, [done = std::move(done)](absl::StatusOr<std::string> body) {
    if (!body.ok()) return done(body.status());
    absl::StatusOr<std::vector<std::string>> symbols = ParseSearch(*body);
    done(symbols.ok() ? std::move(symbols) : Unreadable());
  });
}

}  // namespace stockalert::fetcher
