#include "services/tools/client/webhook_receiver.h"

#include <httplib.h>

#include <atomic>
#include <deque>
#include <nlohmann/json.hpp>
#include <thread>
#include <unordered_set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/mutex.h"
#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"

namespace stockalert::client {
namespace {

constexpr size_t kBodyBytesMax = 64 * 1024;
constexpr int64_t kToleranceS = 300;
constexpr int kStartLooksMax = 5'000;  // A millisecond each.
// How many ids are remembered, so that a repetition is not shown.
constexpr size_t kIdsMax = 100'000;
constexpr int kUnauthorized = 401, kBadRequest = 400, kUnavailable = 503, kNoContent = 204;

}  // namespace

struct WebhookReceiver::Impl {
  explicit Impl(webhook::Keys given) : keys(std::move(given)) {
    server.set_payload_max_length(kBodyBytesMax);
    server.set_read_timeout(5);
    server.set_write_timeout(5);
    server.Post(".*",
                [this](const httplib::Request& request, httplib::Response& response) { Answer(request, response); });
  }

  bool IsVerified(const httplib::Request& request) const {
    int64_t sent_s = 0;
    if (!absl::SimpleAtoi(request.get_header_value("webhook-timestamp"), &sent_s)) return false;
    const int64_t now_s = absl::ToUnixSeconds(absl::Now());
    if (sent_s < now_s - kToleranceS || sent_s > now_s + kToleranceS) return false;
    return webhook::Verify(keys, request.get_header_value("webhook-id"), sent_s, request.body,
                           request.get_header_value("webhook-signature"));
  }

  void Answer(const httplib::Request& request, httplib::Response& response) {
    if (!IsVerified(request)) {
      ++refused;
      response.status = kUnauthorized;
      return;
    }
    const nlohmann::json content = nlohmann::json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    if (!content.is_object() || !content.contains("type") || !content["type"].is_string() ||
        !content.contains("data") || !content["data"].is_object()) {
      response.status = kBadRequest;
      return;
    }
    const nlohmann::json& data = content["data"];
    const auto text = [&data](const char* field) {
      return data.contains(field) && data[field].is_string() ? data[field].get<std::string>() : std::string();
    };
    if (content["type"] == "destination.verification") {
      response.set_content(nlohmann::json{{"challenge", text("challenge")}}.dump(), "application/json");
      return;
    }
    response.status = Add({request.get_header_value("webhook-id"), content["type"], text("title"), request.body})
                          ? kNoContent
                          : kUnavailable;
  }

  bool Add(ReceivedWebhook message) {
    base::MutexLock lock(mutex);
    if (ids.contains(message.webhook_id)) return true;
    if (waiting.size() >= kWaitingMax) return false;
    if (ids.size() >= kIdsMax) ids.clear();
    ids.insert(message.webhook_id);
    waiting.push_back(std::move(message));
    changed.NotifyOne();
    return true;
  }

  const webhook::Keys keys;
  httplib::Server server;
  std::thread thread;
  int port = 0;
  std::atomic<int64_t> refused = 0;
  base::Mutex mutex;
  base::ConditionVariable changed;
  std::deque<ReceivedWebhook> waiting ABSL_GUARDED_BY(mutex);
  std::unordered_set<std::string> ids ABSL_GUARDED_BY(mutex);
};

absl::StatusOr<std::unique_ptr<WebhookReceiver>> WebhookReceiver::Start(const std::string& address,
                                                                        webhook::Keys keys) {
  STOCKALERT_ASSIGN_OR_RETURN(const config::Address parsed, config::ParseAddress(address));
  auto impl = std::make_unique<Impl>(std::move(keys));
  const bool bound = parsed.port == 0 ? (impl->port = impl->server.bind_to_any_port(parsed.host)) > 0
                                      : impl->server.bind_to_port(parsed.host, parsed.port);
  if (!bound) return absl::UnavailableError(absl::StrCat(address, " cannot be listened on: is something else there?"));
  if (parsed.port != 0) impl->port = parsed.port;
  impl->thread = std::thread([&server = impl->server] { server.listen_after_bind(); });
  // The library tells nobody when it listens, and a stop before that would be lost.
  for (int i = 0; !impl->server.is_running() && i < kStartLooksMax; ++i) absl::SleepFor(absl::Milliseconds(1));
  return std::unique_ptr<WebhookReceiver>(new WebhookReceiver(std::move(impl)));
}

WebhookReceiver::WebhookReceiver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

WebhookReceiver::~WebhookReceiver() {
  impl_->server.stop();
  impl_->thread.join();
}

int WebhookReceiver::port() const { return impl_->port; }
int64_t WebhookReceiver::refused() const { return impl_->refused; }

std::optional<ReceivedWebhook> WebhookReceiver::Take(absl::Time deadline) {
  base::MutexLock lock(impl_->mutex);
  const bool there = impl_->changed.WaitUntil(
      lock, deadline, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(impl_->mutex) { return !impl_->waiting.empty(); });
  if (!there) return std::nullopt;
  ReceivedWebhook message = std::move(impl_->waiting.front());
  impl_->waiting.pop_front();
  return message;
}

}  // namespace stockalert::client
