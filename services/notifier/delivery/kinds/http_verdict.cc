#include "services/notifier/delivery/kinds/http_verdict.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/text.h"
#include "services/notifier/delivery/retry_schedule.h"

namespace stockalert::notifier {
namespace {

constexpr size_t kSaidBytesMax = 200;

}  // namespace

bool IsSuccess(const ServiceReply& reply) { return reply.status >= 200 && reply.status <= 299; }

std::optional<absl::Duration> RetryAfterOf(const ServiceReply& reply, int64_t now_us) {
  const auto header = reply.headers.find("retry-after");
  return header == reply.headers.end() ? std::nullopt : ParseRetryAfter(header->second, now_us);
}

std::optional<absl::Duration> SecondsOf(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return std::nullopt;
  if (seconds >= absl::ToDoubleSeconds(kRetryAfterMax)) return kRetryAfterMax;
  return absl::Milliseconds(static_cast<int64_t>(std::ceil(seconds * 1000)));
}

std::string AnsweredText(int status, std::string_view said) {
  std::string line = base::StorableText(said, kSaidBytesMax);
  std::replace_if(line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line.empty() ? absl::StrCat("answered ", status) : absl::StrCat("answered ", status, ": ", line);
}

Verdict Delivered() { return {}; }
Verdict Gone(std::string error) { return {VerdictKind::kGone, std::move(error), std::nullopt}; }
Verdict Refused(std::string error) { return {VerdictKind::kRefused, std::move(error), std::nullopt}; }
Verdict Retry(std::string error, std::optional<absl::Duration> retry_after) {
  return {VerdictKind::kRetry, std::move(error), retry_after};
}

Verdict RetryAsAsked(const ServiceReply& reply, std::string error, std::optional<absl::Duration> asked) {
  return Retry(std::move(error), reply.status == 429 || reply.status == 503 ? asked : std::nullopt);
}

Verdict JudgeHttp(const ServiceReply& reply, int64_t now_us) {
  if (IsSuccess(reply)) return Delivered();
  if (reply.status == 410) return Gone("answered 410: it wants no more messages");
  if (reply.status >= 300 && reply.status <= 399) {
    return Retry(absl::StrCat("answered ", reply.status,
                              ", a redirect, which is not followed: register the URL that it leads to"));
  }
  return RetryAsAsked(reply, absl::StrCat("answered ", reply.status), RetryAfterOf(reply, now_us));
}

}  // namespace stockalert::notifier
