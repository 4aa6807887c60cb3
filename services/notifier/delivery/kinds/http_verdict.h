// What an HTTP answer means where its service says nothing else. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "services/notifier/delivery/outgoing_request.h"
#include "services/notifier/delivery/verdict.h"

namespace stockalert::notifier {

// 2xx: delivered. 410: gone. 429 and 503: retry, after what Retry-After says. Anything else: retry.
Verdict JudgeHttp(const ServiceReply& reply, int64_t now_us);

bool IsSuccess(const ServiceReply& reply);
// Of a Retry-After header.
std::optional<absl::Duration> RetryAfterOf(const ServiceReply& reply, int64_t now_us);
// Seconds of a JSON number, fractions too, rounded up to milliseconds; at most kRetryAfterMax. None: not such a number.
std::optional<absl::Duration> SecondsOf(double seconds);

// "answered 403: invalid_token", with `said` cut and made fit for a line.
std::string AnsweredText(int status, std::string_view said);
Verdict Delivered();
Verdict Gone(std::string error);
Verdict Refused(std::string error);
Verdict Retry(std::string error, std::optional<absl::Duration> retry_after = std::nullopt);
// Retry; what the service asks for counts only with 429 and 503.
Verdict RetryAsAsked(const ServiceReply& reply, std::string error, std::optional<absl::Duration> asked);

}  // namespace stockalert::notifier
