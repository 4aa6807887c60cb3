#include "services/notifier/unsubscribe/unsubscribe_handler.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/notifier/unsubscribe/unsubscribe_token.h"

namespace stockalert::notifier {
namespace {

constexpr std::string_view kPath = "/unsubscribe/";
constexpr char kField[] = "List-Unsubscribe=One-Click";

prometheus::Counter& Requests(const char* outcome) {
  return metrics::GetCounter("stockalert_unsubscribe_requests_total",
                             "Requests to the links by which readers of mails unsubscribe, by outcome",
                             {{"outcome", outcome}});
}

PageAnswer Answered(int status, const char* outcome, std::string_view title, std::string_view text,
                    std::string_view more = "") {
  Requests(outcome).Increment();
  return {status, UnsubscribePage(title, text, more)};
}

PageAnswer Unknown() {
  return Answered(404, "unknown", "This link is not valid",
                  "The destination of these mails has been deleted, or has another address now.");
}

std::string AddressOf(const Destination& destination) {
  const auto shown = nlohmann::json::parse(destination.shown_settings, nullptr, /*allow_exceptions=*/false);
  const auto found = shown.find("address");
  return destination.kind == KindId::kEmail && found != shown.end() && found->is_string() ? found->get<std::string>()
                                                                                          : "";
}

}  // namespace

std::string UnsubscribePage(std::string_view title, std::string_view text, std::string_view more) {
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width\">\n<meta name=\"robots\" content=\"noindex\">\n<title>StockAlert</title>\n"
      "<body style=\"font-family:sans-serif;max-width:32em;margin:4em auto;padding:0 1em\">\n<h1>",
      base::ToAbsl(title), "</h1>\n<p>", base::ToAbsl(text), "</p>\n", base::ToAbsl(more), "</body>\n</html>\n");
}

UnsubscribeHandler::UnsubscribeHandler(const secrets::SecretBox& secrets, Unsubscribe unsubscribe)
    : secrets_(secrets), unsubscribe_(std::move(unsubscribe)) {
  for (const char* outcome : {"done", "page", "unknown", "malformed", "failed"}) Requests(outcome);
}

bool IsOneClick(std::string_view content_type, std::string_view body) {
  const std::string type =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(base::ToAbsl(content_type.substr(0, content_type.find(';')))));
  if (type == "application/x-www-form-urlencoded") {
    const std::vector<absl::string_view> fields = absl::StrSplit(base::ToAbsl(body), '&');
    return std::find(fields.begin(), fields.end(), kField) != fields.end();
  }
  if (type != "multipart/form-data") return false;
  // A part's headers end with an empty line; no other part of such a form holds these lines.
  const size_t name = body.find("name=\"List-Unsubscribe\"");
  if (name == std::string_view::npos) return false;
  const size_t end = body.find("\r\n\r\n", name);
  return end != std::string_view::npos && body.substr(end + 4).starts_with("One-Click\r\n");
}

PageAnswer UnsubscribeHandler::Post(const PageRequest& request, std::string_view token) const {
  const std::optional<UnsubscribeTarget> target = ReadUnsubscribeToken(secrets_, token);
  if (!target) return Unknown();
  if (!IsOneClick(request.content_type, request.body)) {
    return Answered(400, "malformed", "This request is not complete",
                    "Open the link in a browser, and press the button.");
  }
  const absl::Status done = unsubscribe_(target->user_id, target->destination_id, [&](const Destination& destination) {
    return HasAddress(secrets_, *target, AddressOf(destination));
  });
  if (absl::IsNotFound(done)) return Unknown();
  if (!done.ok()) {
    log::Warning("a reader of mails could not unsubscribe: mail programs and readers try again",
                 {{"destination", target->destination_id}, {"error", std::string(done.message())}});
    return Answered(503, "failed", "Please try again in a minute", "This cannot be done right now.");
  }
  log::Info("a reader of mails unsubscribed", {{"destination", target->destination_id}});
  return Answered(200, "done", "You are unsubscribed",
                  "StockAlert sends no more mails of this destination to this address. Its user is told, and can only "
                  "change that with a new code that is sent to this address.");
}

PageAnswer UnsubscribeHandler::Handle(const PageRequest& request) const {
  const std::string_view target = request.target;
  const std::string_view path = target.substr(0, target.find('?'));
  if (!path.starts_with(kPath)) return Unknown();
  const std::string_view token = path.substr(kPath.size());
  if (request.method == "POST") return Post(request, token);
  if (request.method != "GET" && request.method != "HEAD")
    return Answered(405, "malformed", "This request is not known", "Open the link in a browser.");
  if (!ReadUnsubscribeToken(secrets_, token)) return Unknown();
  return Answered(200, "page", "Unsubscribe from these mails?",
                  "StockAlert sends notifications of one of its users to this address.",
                  "<form method=\"post\"><input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">"
                  "<button>Unsubscribe</button></form>\n");
}

}  // namespace stockalert::notifier
