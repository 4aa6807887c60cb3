#include "services/notifier/delivery/kinds/http_kind.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/status_macros.h"
#include "services/domain/message/webhook_message.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/message_template.h"
#include "services/notifier/delivery/kinds/settings_check.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr size_t kHeadersMax = 20;
constexpr size_t kHeaderNameMax = 100;
constexpr size_t kHeaderValueMax = 2000;
constexpr size_t kContentTypeMax = 100;
constexpr char kDefaultContentType[] = "application/json";

constexpr std::array<std::string_view, 15> kRefusedHeaders = {
    "connection",        "content-length", "content-type",        "expect",           "host", "http2-settings",
    "keep-alive",        "trailer",        "proxy-authorization", "proxy-connection", "te",   "upgrade",
    "transfer-encoding", "user-agent",     "proxy-authenticate"};

// As proto JSON names them.
std::optional<http::HttpMethod> ParseMethod(std::string_view name) {
  if (name.empty() || name == "METHOD_UNSPECIFIED" || name == "METHOD_POST") return http::HttpMethod::kPost;
  if (name == "METHOD_PUT") return http::HttpMethod::kPut;
  if (name == "METHOD_PATCH") return http::HttpMethod::kPatch;
  return std::nullopt;
}

const char* NameOf(http::HttpMethod method) {
  switch (method) {
    case http::HttpMethod::kPut:
      return "METHOD_PUT";
    case http::HttpMethod::kPatch:
      return "METHOD_PATCH";
    case http::HttpMethod::kPost:
    case http::HttpMethod::kGet:  // ParseMethod never returns it.
      break;
  }
  return "METHOD_POST";
}

bool IsToken(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kOthers.find(c) != std::string_view::npos;
  });
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

bool IsContentType(std::string_view text) {
  const std::string_view type = text.substr(0, text.find(';'));
  const size_t slash = type.find('/');
  return text.size() <= kContentTypeMax && IsPrintable(text) && slash != std::string_view::npos &&
         IsToken(type.substr(0, slash)) &&
         IsToken(base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(type.substr(slash + 1)))));
}

// What is wrong with a header; empty: nothing.
std::string FaultOf(const std::string& name, const std::string& value) {
  if (!IsToken(name) || name.size() > kHeaderNameMax) return "has a name that no header of HTTP can have";
  if (std::find(kRefusedHeaders.begin(), kRefusedHeaders.end(), absl::AsciiStrToLower(name)) != kRefusedHeaders.end())
    return absl::StrCat("has the name ", name, ", which the connection or StockAlert sets");
  if (value.empty() || value.size() > kHeaderValueMax || !IsPrintable(value) ||
      absl::StripAsciiWhitespace(value) != value)
    return "must have a value of 1 to 2,000 printable characters, without spaces around it";
  return "";
}

class HttpKind final : public DestinationKind {
 public:
  explicit HttpKind(const EgressGuard& guard) : guard_(guard) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    SettingsCheck check(traits_.field, asked);
    const std::optional<DestinationUrl> url = check.Url("url", guard_);
    const std::optional<http::HttpMethod> method = ParseMethod(check.Text("method"));
    check.Check(method.has_value(), "method", "must be POST, PUT or PATCH");
    Json shown_headers = Json::array();
    const Json headers = CheckHeaders(asked, check, shown_headers);
    std::string content_type = check.Text("content_type");
    if (content_type.empty()) content_type = kDefaultContentType;
    check.Check(IsContentType(content_type), "content_type", "must be a media type such as text/plain");
    const std::string body = check.Text("body_template");
    if (check.Check(CharactersIn(body) <= kTemplateMax, "body_template", "must have at most 10,000 characters")) {
      const absl::Status parsed = CheckTemplate(body);
      check.Check(parsed.ok(), "body_template", base::ToStd(parsed.message()));
    }
    STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
    const Json rest = {{"method", NameOf(*method)}, {"content_type", content_type}, {"body_template", body}};
    Json settings = rest;
    settings["url"] = url->url;
    settings["headers"] = headers;
    Json shown = rest;
    shown["url_shown"] = url->shown;
    shown["headers"] = std::move(shown_headers);
    return CheckedSettings{.settings = settings.dump(),
                           .shown = shown.dump(),
                           .address = url->shown,
                           .target = url->url,
                           .host = HostOf(*url)};
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    const Json settings = Json::parse(parcel.settings, nullptr, /*allow_exceptions=*/false);
    const std::optional<http::HttpMethod> method = ParseMethod(TextIn(settings, "method"));
    if (!settings.is_object() || !method) return absl::DataLossError("no settings of an HTTP call");
    const std::string content_type = TextIn(settings, "content_type");
    OutgoingHttp request{.method = *method,
                         .url = TextIn(settings, "url"),
                         .headers = {absl::StrCat("Content-Type: ", content_type)},
                         .body = {}};
    for (const Json& header : settings.value("headers", Json::array()))
      request.headers.push_back(absl::StrCat(TextIn(header, "name"), ": ", TextIn(header, "value")));
    const std::string body_template = TextIn(settings, "body_template");
    if (body_template.empty()) {
      request.body = message::WebhookMessage(parcel.notice);
      return request;
    }
    absl::StatusOr<std::string> body = RenderTemplate(body_template, EscapeFor(content_type), parcel.notice, parcel.id);
    if (!body.ok()) return absl::FailedPreconditionError(body.status().message());
    request.body = *std::move(body);
    return request;
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    return JudgeHttp(reply, now_us);
  }

 private:
  // The headers as they are stored; `shown`: without their values.
  Json CheckHeaders(const Json& asked, SettingsCheck& check, Json& shown) const {
    Json headers = Json::array();
    const auto found = asked.find("headers");
    if (found == asked.end() || !found->is_array()) return headers;
    if (!check.Check(found->size() <= kHeadersMax, "headers", "must be at most 20")) return headers;
    std::set<std::string> names;
    for (size_t i = 0; i < found->size(); ++i) {
      const std::string name = TextIn((*found)[i], "name");
      const std::string value = TextIn((*found)[i], "value");
      const std::string field = absl::StrCat("headers[", i, "]");
      const std::string fault = FaultOf(name, value);
      check.Check(fault.empty(), field, fault);
      check.Check(names.insert(absl::AsciiStrToLower(name)).second, field, "has the name of another one");
      headers.push_back({{"name", name}, {"value", value}});
      shown.push_back({{"name", name}});
    }
    return headers;
  }

  const KindTraits traits_ = {.id = KindId::kHttp,
                              .field = "http",
                              .inputs = {"url", "method", "headers", "body_template", "content_type"},
                              .is_worded = false,
                              // As a webhook.
                              .per_minute_max = kPerMinuteMax};
  const EgressGuard guard_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeHttpKind(const EgressGuard& guard) {
  return std::make_unique<HttpKind>(guard);
}

}  // namespace stockalert::notifier
