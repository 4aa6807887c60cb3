#include "services/notifier/delivery/kinds/apprise_kind.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/domain/message/notification_text.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/settings_check.h"
#include "services/notifier/delivery/kinds/text_fit.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

constexpr size_t kUrlsMax = 10;
constexpr size_t kUrlBytesMax = 2000;
constexpr size_t kServerUrlBytesMax = 500;
constexpr size_t kSchemesMax = 100;
// Below what most services take; Apprise cuts or splits what is too long for one.
constexpr size_t kTitleMax = 250;
constexpr size_t kBodyMax = 4000;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

bool IsScheme(std::string_view text) {
  return !text.empty() && text.size() <= 30 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
}

// "discord" of "Discord://…"; empty: there is none.
std::string SchemeOf(std::string_view url) {
  const size_t end = url.find("://");
  if (end == std::string_view::npos) return "";
  const std::string scheme = absl::AsciiStrToLower(base::ToAbsl(url.substr(0, end)));
  return IsScheme(scheme) ? scheme : "";
}

// Apprise reads a query's `template` as a file of its own machine, or a URL.
bool NamesTemplate(std::string_view url) {
  const size_t query = url.find('?');
  if (query == std::string_view::npos) return false;
  const std::string lower = absl::AsciiStrToLower(base::ToAbsl(url.substr(query)));
  return absl::StrContains(lower, "template") || absl::StrContains(lower, '%');
}

// Neither mentions ("@all", "<!channel>") nor links of any service: Apprise is told that it is plain text, but not
// every service is.
std::string BreakMarkup(std::string_view code_point) {
  if (code_point == "<") return "<\xe2\x81\xa0";
  return BreakMention(code_point);
}

class AppriseKind final : public DestinationKind {
 public:
  explicit AppriseKind(const std::optional<AppriseServer>& server) : server_(server) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    if (!server_) {
      return base::FailedPrecondition(
          kReasonAppriseOff, "apprise is off in this installation: its operator has not configured an Apprise server");
    }
    SettingsCheck check(traits_.field, asked);
    const auto found = asked.find("urls");
    const Json given = found != asked.end() && found->is_array() ? *found : Json::array();
    check.Check(!given.empty() && given.size() <= kUrlsMax, "urls", "must be 1 to 10");
    std::vector<std::string> urls;
    for (size_t i = 0; i < given.size() && i < kUrlsMax; ++i) {
      const std::string url = given[i].is_string() ? given[i].get<std::string>() : "";
      const std::string fault = FaultOf(url);
      check.Check(fault.empty(), absl::StrCat("urls[", i, "]"), fault);
      urls.push_back(url);
    }
    STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
    std::vector<std::string> shown;
    for (const std::string& url : urls) shown.push_back(absl::StrCat(SchemeOf(url), "://…"));
    std::vector<std::string> sorted = urls;
    std::sort(sorted.begin(), sorted.end());
    return CheckedSettings{.settings = Json{{"urls", urls}}.dump(),
                           .shown = Json{{"urls_shown", shown}}.dump(),
                           .address = absl::StrJoin(shown, ", "),
                           .target = absl::StrJoin(sorted, "\n"),
                           .host = server_->host,
                           .spacing = absl::Milliseconds(500)};
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    if (!server_) return absl::FailedPreconditionError("this installation has no Apprise server any more");
    const Json settings = Json::parse(parcel.settings, nullptr, /*allow_exceptions=*/false);
    const auto urls = settings.find("urls");
    if (urls == settings.end() || !urls->is_array()) return absl::DataLossError("no settings of Apprise");
    for (const Json& url : *urls) {
      // The operator may have changed what is allowed since they were registered.
      if (!url.is_string() || !FaultOf(url.get<std::string>()).empty())
        return absl::FailedPreconditionError("a service that it names is not allowed any more: update its urls");
    }
    const message::NotificationText text = message::TextOf(parcel.notice);
    const Json body = {{"urls", *urls},
                       {"title", FitText(text.title, kTitleMax, TextUnit::kUtf16, &BreakMarkup)},
                       {"body", FitText(message::PlainText(text), kBodyMax, TextUnit::kUtf16, &BreakMarkup)},
                       {"type", parcel.notice.critical ? "warning" : "info"},
                       {"format", "text"}};
    return OutgoingHttp{.url = server_->notify_url,
                        .headers = {"Content-Type: application/json", "Accept: application/json"},
                        .body = body.dump(-1, ' ', false, Json::error_handler_t::replace),
                        .trusted_by_operator = true};
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t now_us) const override {
    if (reply.status == 200) return Delivered();
    const Json object = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    const std::string error = absl::StrCat("the Apprise server ", AnsweredText(reply.status, TextIn(object, "error")));
    if (reply.status == 204) {
      return Refused("the Apprise server answered 204: it can use none of the URLs: see whether they are complete");
    }
    if (reply.status == 400) return Refused(error);
    if (reply.status == 424) return Retry(absl::StrCat(error, ": not all of the services took it"));
    return RetryAsAsked(reply, error, RetryAfterOf(reply, now_us));
  }

 private:
  // What is wrong with a URL, without any of it but its scheme; empty: nothing.
  std::string FaultOf(const std::string& url) const {
    if (url.empty() || url.size() > kUrlBytesMax) return "must have 1 to 2,000 characters";
    if (!IsPrintable(url)) return "must have no spaces and nothing but ASCII: percent-encode it";
    // Apprise would take what follows for another URL.
    if (absl::StrContains(url, ',')) return "must have no commas: percent-encode them, or give each URL by itself";
    const std::string scheme = SchemeOf(url);
    if (!server_->schemes.contains(scheme)) {
      return absl::StrCat("must be of a service that this installation allows: ",
                          absl::StrJoin(server_->schemes, ", "));
    }
    if (NamesTemplate(url)) return "must not name a template, nor have a % behind the ?";
    return "";
  }

  const KindTraits traits_ = {.id = KindId::kApprise, .field = "apprise", .inputs = {"urls"}};
  const std::optional<AppriseServer> server_;
};

}  // namespace

absl::StatusOr<AppriseServer> AppriseServer::Parse(std::string_view url, std::string_view schemes) {
  const bool tls = url.starts_with("https://");
  if ((!tls && !url.starts_with("http://")) || url.size() > kServerUrlBytesMax || !IsPrintable(url) ||
      url.find_first_of("?#@\"<>\\^`{|}") != std::string_view::npos)
    return absl::InvalidArgumentError("must be a URL such as http://apprise:8000");
  while (url.ends_with('/')) url.remove_suffix(1);
  const std::string_view rest = url.substr(std::min<size_t>(url.size(), tls ? 8 : 7));
  AppriseServer server;
  server.host = std::string(rest.substr(0, rest.find('/')));
  if (server.host.empty() || server.host.starts_with(':'))
    return absl::InvalidArgumentError("must be a URL such as http://apprise:8000");
  server.notify_url = absl::StrCat(base::ToAbsl(url), "/notify/");
  for (const absl::string_view part : absl::StrSplit(base::ToAbsl(schemes), ',', absl::SkipWhitespace())) {
    const std::string scheme(absl::StripAsciiWhitespace(part));
    if (!IsScheme(scheme) || server.schemes.size() >= kSchemesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", scheme, "\" is not the name of a service such as discord, or there are more than 100"));
    }
    server.schemes.insert(scheme);
  }
  if (server.schemes.empty()) return absl::InvalidArgumentError("no service is allowed");
  return server;
}

std::unique_ptr<const DestinationKind> MakeAppriseKind(const std::optional<AppriseServer>& server) {
  return std::make_unique<AppriseKind>(server);
}

}  // namespace stockalert::notifier
