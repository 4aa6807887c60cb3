#include "services/notifier/delivery/http_request_sender.h"

#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/version/version.h"

namespace stockalert::notifier {
namespace {

// A longer answer is cut; a shorter one is read to its end, so that the connection can be kept.
constexpr size_t kReplyBytesMax = 16 * 1024;
constexpr size_t kReplyHeaderBytesMax = 16 * 1024;
// More is cut anyway.
constexpr int kReceiveBufferBytes = 32 * 1024;

// Without the commit, which receivers need not know.
std::string UserAgent() {
  const std::string version = version::Text();
  return absl::StrCat("User-Agent: StockAlert/", version.substr(0, version.find(' ')));
}

http::HttpClientOptions ClientOptions(const HttpRequestSenderOptions& options, const EgressGuard& guard) {
  return {.headers = {UserAgent()},
          .timeout = options.timeout,
          .connect_timeout = options.connect_timeout,
          .reply_bytes_max = kReplyBytesMax,
          .header_bytes_max = kReplyHeaderBytesMax,
          .cut_replies = true,
          .receive_buffer_bytes = kReceiveBufferBytes,
          .lanes = 1,
          .in_flight_max = options.in_flight_max,
          .waiting_max = options.waiting_max,
          .http2 = true,
          .name_cache_time = options.name_cache_time,
          .authorities_file = options.authorities_file,
          .may_connect = [&guard](const sockaddr& peer) { return guard.MayConnect(peer); },
          .on_turn = options.on_turn};
}

AttemptFailure FailureOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:
      return AttemptFailure::kAddressRefused;
    case absl::StatusCode::kDeadlineExceeded:
      return AttemptFailure::kTimedOut;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
      return AttemptFailure::kNotAttempted;
    default:
      return AttemptFailure::kNoAnswer;
  }
}

// The result of a request that was answered.
AttemptResult ResultOf(http::HttpReply reply) {
  AttemptResult result;
  result.reply = {reply.status, std::move(reply.headers), std::move(reply.body)};
  return result;
}

}  // namespace

HttpRequestSender::HttpRequestSender(const HttpRequestSenderOptions& options, EgressGuard guard)
    : guard_(std::move(guard)), client_(std::make_unique<http::HttpClient>(ClientOptions(options, guard_))) {
  if (!options.has_operator_server) return;
  http::HttpClientOptions unguarded = ClientOptions(options, guard_);
  unguarded.may_connect = nullptr;
  operator_client_ = std::make_unique<http::HttpClient>(unguarded);
}

HttpRequestSender::~HttpRequestSender() {
  client_.reset();
  operator_client_.reset();
}

void HttpRequestSender::Send(const OutgoingRequest& request, Done done) {
  if (const OutgoingHttp* http = std::get_if<OutgoingHttp>(&request)) return SendHttp(*http, std::move(done));
  AttemptResult refused;
  refused.failure = AttemptFailure::kAddressRefused;
  refused.error = "this installation sends by HTTP alone";
  done(std::move(refused));
}

void HttpRequestSender::SendHttp(const OutgoingHttp& request, Done done) {
  if (request.trusted_by_operator && operator_client_)
    return SendBy(*operator_client_, request, request.url, std::move(done));
  // The operator may have changed what is allowed since the URL was registered.
  absl::StatusOr<DestinationUrl> url = guard_.ParseUrl(request.url);
  if (!url.ok()) {
    AttemptResult refused;
    refused.failure = AttemptFailure::kAddressRefused;
    refused.error = absl::StrCat("the URL ", url.status().message());
    return done(std::move(refused));
  }
  SendBy(*client_, request, std::move(url->url), std::move(done));
}

void HttpRequestSender::SendBy(http::HttpClient& client, const OutgoingHttp& request, std::string url, Done done) {
  const absl::Duration begin = base::MonotonicNow();
  client.Send({.method = request.method, .url = std::move(url), .headers = request.headers, .body = request.body},
              [begin, done = std::move(done)](absl::StatusOr<http::HttpReply> reply) {
                AttemptResult result;
                if (reply.ok()) {
                  result = ResultOf(*std::move(reply));
                } else {
                  result.failure = FailureOf(reply.status());
                  result.error = std::string(base::ToStd(reply.status().message()));
                }
                result.duration = base::MonotonicNow() - begin;
                done(std::move(result));
              });
}

}  // namespace stockalert::notifier
