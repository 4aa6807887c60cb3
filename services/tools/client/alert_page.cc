#include "services/tools/client/alert_page.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "services/tools/client/values.h"

namespace stockalert::client {

namespace pb = ::stockalert::alert::v1;

namespace {

// "CREATION_POLICY_FIRE_IF_MET" → "fire if met".
std::string Words(const std::string& name, const char* prefix) {
  std::string text = absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string ReferenceOf(const pb::Alert& alert) {
  switch (alert.condition().percent_change().reference()) {
    case pb::PercentChange::REFERENCE_PREVIOUS_CLOSE:
      return "previous close";
    case pb::PercentChange::REFERENCE_DAY_OPEN:
      return "opening price";
    default:
      return "reference";
  }
}

std::string ArmedOf(const pb::Alert& alert) {
  if (alert.applied_revision() >= alert.revision()) return absl::StrCat("revision ", alert.revision(), ", in force");
  return absl::StrCat("revision ", alert.revision(), ", not in force yet: ",
                      alert.applied_revision() == 0 ? "none is" : absl::StrCat(alert.applied_revision(), " is"));
}

std::string TriggersOf(const pb::Alert& alert) {
  std::string text = absl::StrCat(alert.trigger_count());
  if (alert.has_last_trigger()) {
    const pb::Trigger& last = alert.last_trigger();
    absl::StrAppend(&text, ", the last at ", last.price(), " against ", last.reference(), ", ",
                    FormatTime(last.event_time()), last.late() ? " (late)" : "");
  }
  if (alert.throttled_count() > 0) absl::StrAppend(&text, "; ", alert.throttled_count(), " of them throttled");
  return text;
}

std::string DeliveryOf(const pb::Alert& alert) {
  if (alert.delivery() == pb::Alert::DELIVERY_NONE) return "to no destination";
  if (alert.destinations().empty()) return "to the default destinations";
  std::vector<std::string> ids;
  for (const std::string& name : alert.destinations()) ids.push_back(IdOf(name));
  return "to " + absl::StrJoin(ids, ", ");
}

std::string PriceOf(const std::optional<quote::v1::Quote>& price) {
  if (!price) return "not known";
  return absl::StrCat(price->price(), " at ", FormatTime(price->event_time()), " (", FormatSession(price->session()),
                      ")");
}

}  // namespace

Colour ColourOf(pb::Alert::State state) {
  switch (state) {
    case pb::Alert::STATE_ACTIVE:
      return Colour::kGreen;
    case pb::Alert::STATE_TRIGGERED:
      return Colour::kCyan;
    case pb::Alert::STATE_PENDING:
    case pb::Alert::STATE_WAITING:
    case pb::Alert::STATE_HELD:
    case pb::Alert::STATE_PAUSED:
      return Colour::kYellow;
    case pb::Alert::STATE_EXPIRED:
      return Colour::kDim;
    default:
      return Colour::kNone;
  }
}

std::string WhyNotWatching(const pb::Alert& alert) {
  switch (alert.state()) {
    case pb::Alert::STATE_PENDING:
      return "it is kept, and has no place among the prices yet";
    case pb::Alert::STATE_WAITING:
      return absl::StrCat("no price of ", alert.symbol(), " has brought the date's ", ReferenceOf(alert), " yet");
    case pb::Alert::STATE_HELD:
      return absl::StrCat("a split of ", alert.symbol(),
                          " is suspected; its prices are evaluated once that is settled");
    case pb::Alert::STATE_PAUSED:
      return absl::StrCat("until `stockalert alert resume ", IdOf(alert.name()), "`");
    case pb::Alert::STATE_TRIGGERED:
      return absl::StrCat("its trigger ended it; `stockalert alert rearm ", IdOf(alert.name()), "` begins anew");
    case pb::Alert::STATE_EXPIRED:
      return absl::StrCat("`stockalert alert update ", IdOf(alert.name()), " --expires +7d` begins anew");
    default:
      return "";
  }
}

std::vector<std::pair<std::string, Cell>> PageOf(const pb::Alert& alert, const std::optional<quote::v1::Quote>& price) {
  std::vector<std::pair<std::string, Cell>> page;
  const auto say = [&](const char* what, Cell cell) {
    if (!cell.text.empty()) page.emplace_back(what, std::move(cell));
  };
  const std::string why = WhyNotWatching(alert);
  say("alert", Cell(IdOf(alert.name()), Colour::kBold));
  say("name", alert.name());
  say("symbol", Cell(alert.symbol(), Colour::kBold));
  say("condition", FormatCondition(alert.condition()));
  say("state", Cell(FormatState(alert.state()) + (why.empty() ? "" : ": " + why), ColourOf(alert.state())));
  say("last price", PriceOf(price));
  say("triggers", FormatPolicy(alert));
  say("hysteresis", alert.hysteresis());
  say("where met already", Words(pb::Alert::CreationPolicy_Name(alert.creation_policy()), "CREATION_POLICY_"));
  say("sessions", Words(pb::Alert::Sessions_Name(alert.sessions()), "SESSIONS_"));
  say("expires", alert.has_expire_time() ? FormatTime(alert.expire_time()) : "never");
  say("armed", ArmedOf(alert));
  say("triggered", TriggersOf(alert));
  say("throttled until", FormatTime(alert.throttle_end_time()));
  say("note", alert.note());
  say("delivery", DeliveryOf(alert));
  say("critical", alert.critical() ? "yes: sent with high priority" : "");
  say("created", FormatTime(alert.create_time()));
  say("changed", FormatTime(alert.update_time()));
  say("etag", alert.etag());
  return page;
}

void PrintPage(const Terminal& terminal, const std::vector<std::pair<std::string, Cell>>& page) {
  size_t width = 0;
  for (const auto& line : page) width = std::max(width, line.first.size());
  for (const auto& [what, cell] : page) {
    terminal.out << terminal.Paint(what, Colour::kDim) << std::string(width - what.size() + 2, ' ')
                 << terminal.Paint(Clean(cell.text), cell.colour) << '\n';
  }
  terminal.out << std::flush;
}

}  // namespace stockalert::client
