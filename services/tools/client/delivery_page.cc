#include "services/tools/client/delivery_page.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "services/tools/client/values.h"

namespace stockalert::client {

namespace pb = ::stockalert::notification::v1;

namespace {

std::string WhyDisabled(const pb::Destination& destination) {
  switch (destination.disable_reason()) {
    case pb::Destination::DISABLE_REASON_GONE:
      return "it answered 410 Gone";
    case pb::Destination::DISABLE_REASON_FAILING:
      return "all attempts failed for five days";
    case pb::Destination::DISABLE_REASON_SECRETS_LOST:
      return "the key that encrypts its secrets is gone: delete it and create another";
    case pb::Destination::DISABLE_REASON_UNSUBSCRIBED:
      return "its reader unsubscribed by the link of a mail";
    default:
      return "";
  }
}

std::string WhyHeld(const pb::Delivery& delivery) {
  switch (delivery.hold_reason()) {
    case pb::Delivery::HOLD_REASON_QUIET_HOURS:
      return "quiet hours";
    case pb::Delivery::HOLD_REASON_RATE:
      return "too many in a minute";
    default:
      return "";
  }
}

// "23ms", "1.5s"; no more digits than anyone reads.
std::string ShortDuration(const google::protobuf::Duration& duration) {
  const absl::Duration exact = absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
  return absl::FormatDuration(
      absl::Trunc(exact, exact < absl::Seconds(1) ? absl::Milliseconds(1) : absl::Milliseconds(100)));
}

}  // namespace

Cell StateOf(const pb::Destination& destination) {
  std::string text(absl::StripPrefix(pb::Destination::State_Name(destination.state()), "STATE_"));
  switch (destination.state()) {
    case pb::Destination::STATE_ACTIVE:
      return Cell(std::move(text), Colour::kGreen);
    case pb::Destination::STATE_UNVERIFIED:
      return Cell(std::move(text), Colour::kYellow);
    default:
      if (const std::string why = WhyDisabled(destination); !why.empty()) absl::StrAppend(&text, ": ", why);
      return Cell(std::move(text), Colour::kRed);
  }
}

Cell StateOf(const pb::Delivery& delivery) {
  std::string text(absl::StripPrefix(pb::Delivery::State_Name(delivery.state()), "STATE_"));
  switch (delivery.state()) {
    case pb::Delivery::STATE_SUCCEEDED:
      return Cell(std::move(text), Colour::kGreen);
    case pb::Delivery::STATE_QUEUED:
      return Cell(std::move(text), Colour::kYellow);
    case pb::Delivery::STATE_HELD:
      if (const std::string why = WhyHeld(delivery); !why.empty()) absl::StrAppend(&text, ": ", why);
      return Cell(std::move(text), Colour::kYellow);
    case pb::Delivery::STATE_DIGESTED:
      return Cell(std::move(text), Colour::kGreen);
    case pb::Delivery::STATE_CANCELLED:
      return Cell(std::move(text), Colour::kDim);
    default:
      return Cell(std::move(text), Colour::kRed);
  }
}

std::string KindOf(const pb::Destination& destination) {
  const auto* kind = destination.GetReflection()->GetOneofFieldDescriptor(
      destination, pb::Destination::descriptor()->FindOneofByName("kind"));
  return kind == nullptr ? "?" : kind->name();
}

std::string AddressOf(const pb::Destination& destination) {
  switch (destination.kind_case()) {
    case pb::Destination::kWebhook:
      return destination.webhook().url_shown();
    case pb::Destination::kEmail:
      return destination.email().address();
    case pb::Destination::kSlack:
      return destination.slack().url_shown();
    case pb::Destination::kDiscord:
      return destination.discord().url_shown();
    case pb::Destination::kTelegram:
      return destination.telegram().chat_id();
    case pb::Destination::kNtfy:
      return absl::StrCat(destination.ntfy().server_url(), "/", destination.ntfy().topic());
    case pb::Destination::kPushover:
      return destination.pushover().device().empty() ? "all devices" : destination.pushover().device();
    case pb::Destination::kTeams:
      return destination.teams().url_shown();
    case pb::Destination::kHttp:
      return destination.http().url_shown();
    case pb::Destination::kApprise:
      return absl::StrJoin(destination.apprise().urls_shown(), ", ");
    case pb::Destination::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string KindOf(const pb::Delivery& delivery) {
  return absl::AsciiStrToLower(absl::StripPrefix(pb::Delivery::Kind_Name(delivery.kind()), "KIND_"));
}

std::vector<std::pair<std::string, Cell>> PageOf(const pb::Destination& destination) {
  std::vector<std::pair<std::string, Cell>> page;
  const auto say = [&](const char* what, Cell cell) {
    if (!cell.text.empty()) page.emplace_back(what, std::move(cell));
  };
  say("destination", Cell(IdOf(destination.name()), Colour::kBold));
  say("name", destination.display_name());
  say("kind", KindOf(destination));
  say("address", AddressOf(destination));
  if (destination.has_http()) {
    say("method", std::string(absl::StripPrefix(pb::HttpCall::Method_Name(destination.http().method()), "METHOD_")));
    for (const auto& header : destination.http().headers()) say("header", header.name());
    say("content type", destination.http().content_type());
    say("body", destination.http().body_template());
  }
  say("title template", destination.template_().title());
  say("text template", destination.template_().text());
  say("state", StateOf(destination));
  say("gets", destination.is_default() ? "every notification" : "only those that name it");
  say("one by one", absl::StrCat("at most ", destination.notifications_per_minute_max(), " within a minute"));
  say("public key", destination.webhook().public_key());
  say("old secrets until", FormatTime(destination.webhook().previous_secret_expire_time()));
  say("verified", FormatTime(destination.verify_time()));
  say("disabled", FormatTime(destination.disable_time()));
  say("last success", FormatTime(destination.last_success_time()));
  say("failing since", Cell(FormatTime(destination.failing_since_time()), Colour::kRed));
  say("created", FormatTime(destination.create_time()));
  say("changed", FormatTime(destination.update_time()));
  say("etag", destination.etag());
  return page;
}

std::vector<std::pair<std::string, Cell>> PageOf(const pb::Delivery& delivery) {
  std::vector<std::pair<std::string, Cell>> page;
  const auto say = [&](const char* what, Cell cell) {
    if (!cell.text.empty()) page.emplace_back(what, std::move(cell));
  };
  say("delivery", Cell(IdOf(delivery.name()), Colour::kBold));
  say("of", KindOf(delivery));
  say("state", StateOf(delivery));
  say("destination", IdOf(delivery.destination()));
  say("notification", IdOf(delivery.notification()));
  say("webhook-id", delivery.webhook_id());
  say("attempts", absl::StrCat(delivery.attempt_count()));
  say("digest", IdOf(delivery.digest()));
  say(delivery.state() == pb::Delivery::STATE_HELD ? "held until" : "next attempt",
      Cell(FormatTime(delivery.next_attempt_time()), Colour::kYellow));
  say("last error", Cell(delivery.last_error(), Colour::kRed));
  say("queued", FormatTime(delivery.create_time()));
  say("ended", FormatTime(delivery.end_time()));
  return page;
}

Table AttemptsOf(const pb::Delivery& delivery) {
  Table table({">NO", "BEGAN", ">TOOK", ">STATUS", "~WHAT WENT WRONG", "~ANSWER"});
  std::vector<pb::DeliveryAttempt> attempts(delivery.attempts().begin(), delivery.attempts().end());
  std::reverse(attempts.begin(), attempts.end());
  for (const auto& attempt : attempts) {
    const Colour colour = attempt.error().empty() ? Colour::kGreen : Colour::kRed;
    table.Add({absl::StrCat(attempt.number()), FormatTime(attempt.start_time()), ShortDuration(attempt.duration()),
               attempt.http_status() == 0 ? Cell("none", colour) : Cell(absl::StrCat(attempt.http_status()), colour),
               attempt.error(), attempt.answer()});
  }
  return table;
}

}  // namespace stockalert::client
