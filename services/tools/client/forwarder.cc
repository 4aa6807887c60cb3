#include "services/tools/client/forwarder.h"

#include <future>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/time_convert.h"
#include "services/common/version/version.h"
#include "services/domain/message/webhook_message.h"
#include "services/domain/price/decimal.h"
#include "services/domain/record/event.h"
#include "services/tools/client/program.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

using notification::v1::Notification;

// The notifier's time limit for a webhook; the same for a command.
constexpr absl::Duration kTimeout = absl::Seconds(20);
constexpr absl::Duration kConnectTimeout = absl::Seconds(10);

absl::StatusOr<std::optional<int64_t>> MicrosOf(const std::string& decimal) {
  if (decimal.empty()) return std::nullopt;
  STOCKALERT_ASSIGN_OR_RETURN(const int64_t micros, price::ParsePrice(decimal));
  return micros;
}

http::HttpClientOptions OptionsOfClient() {
  return {.headers = {"Content-Type: application/json", absl::StrCat("User-Agent: StockAlert/", version::Text())},
          .timeout = kTimeout,
          .connect_timeout = kConnectTimeout,
          .reply_bytes_max = size_t{16} * 1024,
          .cut_replies = true,
          .lanes = 1};
}

// Sets the fields that only triggers have.
absl::Status ReadTrigger(const Notification& notification, message::Notice& notice) {
  notice.alert_id = IdOf(notification.alert());
  if (!absl::SimpleAtoi(IdOf(notification.trigger()), &notice.trigger_number)) {
    return absl::InternalError("the notification names no trigger");
  }
  STOCKALERT_ASSIGN_OR_RETURN(notice.price_micros, price::ParsePrice(notification.price()));
  STOCKALERT_ASSIGN_OR_RETURN(notice.price_before_micros, MicrosOf(notification.price_before()));
  STOCKALERT_ASSIGN_OR_RETURN(notice.reference_micros, MicrosOf(notification.reference()));
  notice.late = notification.late();
  return absl::OkStatus();
}

absl::Status ReadSplit(const Notification& notification, message::Notice& notice) {
  notice.type = message::Type::kSplit;
  const Notification::Split& split = notification.split();
  if (!absl::SimpleAtoi(IdOf(split.name()), &notice.split.number)) {
    return absl::InternalError("the notification names no split");
  }
  notice.split.ratio = {split.numerator(), split.denominator()};
  if (!record::IsSplitShares(split.numerator()) || !record::IsSplitShares(split.denominator())) {
    return absl::InternalError("the notification has a split ratio that cannot be");
  }
  notice.split.alert_count = split.alert_count();
  if (split.has_effective_time()) {
    STOCKALERT_ASSIGN_OR_RETURN(notice.split.effective_time_us,
                                rpc::TimestampToUs(split.effective_time(), "split.effective_time"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<message::Notice> NoticeOf(const Notification& notification) {
  message::Notice notice;
  // "users/{user}/notifications/{notification}"
  const std::string& name = notification.name();
  const size_t begin = name.find('/') + 1;
  notice.user_id = name.substr(begin, name.find('/', begin) - begin);
  notice.notification_id = IdOf(name);
  notice.symbol = notification.symbol();
  STOCKALERT_ASSIGN_OR_RETURN(notice.event_time_us, rpc::TimestampToUs(notification.event_time(), "event_time"));
  STOCKALERT_ASSIGN_OR_RETURN(notice.create_time_us, rpc::TimestampToUs(notification.create_time(), "create_time"));
  notice.summary = notification.summary();
  notice.note = notification.note();
  notice.folded_count = notification.folded_count();
  notice.critical = notification.critical();
  notice.rerouted = notification.rerouted();
  if (notification.kind() == Notification::KIND_DESTINATION) {
    notice.type = message::Type::kDestination;
    notice.destination_id = IdOf(notification.destination());
    notice.destination_disabled = notification.destination_disabled();
    return notice;
  }
  if (notification.kind() == Notification::KIND_DIGEST) {
    notice.type = message::Type::kDigest;
    notice.destination_id = IdOf(notification.destination());
    return notice;
  }
  if (notification.kind() == Notification::KIND_THROTTLED) {
    notice.type = message::Type::kThrottled;
    return notice;
  }
  if (notification.kind() == Notification::KIND_SPLIT) {
    STOCKALERT_RETURN_IF_ERROR(ReadSplit(notification, notice));
    return notice;
  }
  STOCKALERT_RETURN_IF_ERROR(ReadTrigger(notification, notice));
  return notice;
}

Forwarder::Forwarder(webhook::Keys keys, std::string url, std::string command)
    : keys_(std::move(keys)), url_(std::move(url)), command_(std::move(command)), client_(OptionsOfClient()) {}

Forwarded Forwarder::Forward(const Notification& notification) {
  Forwarded result;
  result.webhook_id = absl::StrCat("msg_", absl::StrReplaceAll(IdOf(notification.name()), {{"-", ""}}));
  const auto notice = NoticeOf(notification);
  if (!notice.ok()) {
    result.error = std::string(notice.status().message());
    return result;
  }
  const std::string body = message::WebhookMessage(*notice);
  result.type = nlohmann::json::parse(body)["type"];
  if (!url_.empty()) Post(body, result);
  if (!command_.empty()) Run(body, result);
  return result;
}

void Forwarder::Post(const std::string& body, Forwarded& result) {
  const int64_t now_s = absl::ToUnixSeconds(absl::Now());
  http::HttpRequest request{
      .method = http::HttpMethod::kPost,
      .url = url_,
      .headers = {absl::StrCat("webhook-id: ", result.webhook_id), absl::StrCat("webhook-timestamp: ", now_s),
                  absl::StrCat("webhook-signature: ", webhook::Sign({keys_}, result.webhook_id, now_s, body))},
      .body = body};
  std::promise<absl::StatusOr<http::HttpReply>> promise;
  std::future<absl::StatusOr<http::HttpReply>> future = promise.get_future();
  client_.Send(std::move(request),
               [&promise](absl::StatusOr<http::HttpReply> reply) { promise.set_value(std::move(reply)); });
  const absl::StatusOr<http::HttpReply> reply = future.get();
  if (!reply.ok()) {
    result.error = std::string(reply.status().message());
    return;
  }
  result.http_status = reply->status;
  if (reply->status < 200 || reply->status > 299) result.error = absl::StrCat("answered ", reply->status);
}

void Forwarder::Run(const std::string& body, Forwarded& result) const {
  const absl::StatusOr<int> code = RunProgram(command_, body, kTimeout);
  const std::string earlier = result.error.empty() ? "" : result.error + "; ";
  if (!code.ok()) {
    result.error = absl::StrCat(earlier, "the command ", std::string(code.status().message()));
    return;
  }
  result.exit_code = *code;
  if (*code != 0) result.error = absl::StrCat(earlier, "the command ended with ", *code);
}

}  // namespace stockalert::client
