#include "services/notifier/delivery/kinds/email_kind.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/mail/address.h"
#include "services/domain/message/mail_message.h"
#include "services/domain/message/notification_text.h"
#include "services/notifier/delivery/kinds/http_verdict.h"
#include "services/notifier/delivery/kinds/settings_check.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

// All mails go to one server.
constexpr char kHost[] = "smtp";
constexpr char kFooter[] =
    "Sent by StockAlert, because one of its users has registered this address as a destination and has verified it.";

// One mailbox, whatever its tag ("ada+stocks@…") and however it is written.
std::string TargetOf(const std::string& address) {
  const size_t at = address.rfind('@');
  const size_t end = std::min(address.find('+', 1), at);
  return absl::AsciiStrToLower(absl::StrCat(address.substr(0, end), address.substr(at)));
}

// What is drawn for a trigger, without the bars.
ChartInput ChartOf(const message::Notice& notice) {
  ChartInput chart;
  chart.symbol = notice.symbol;
  chart.title = notice.summary;
  if (notice.reference_micros) chart.lines_micros.push_back(*notice.reference_micros);
  chart.trigger_micros = notice.price_micros;
  chart.trigger_us = notice.event_time_us;
  chart.zone = notice.style.time_zone;
  chart.price_decimals = notice.style.price_decimals;
  return chart;
}

std::string AltOf(const ChartInput& chart) {
  std::string alt = absl::StrCat("Chart of the last prices of ", chart.symbol, ", with the trigger at ",
                                 PriceLabel(chart.trigger_micros, chart.price_decimals));
  for (const int64_t line : chart.lines_micros)
    absl::StrAppend(&alt, " and the reference of ", PriceLabel(line, chart.price_decimals));
  return alt;
}

OutgoingPicture PictureOf(const message::Notice& notice, const mail::MailHead& head,
                          const message::NotificationText& words, const std::string& footer) {
  OutgoingPicture picture;
  picture.chart = ChartOf(notice);
  picture.part = {.name = "chart", .type = "image/png", .bytes = {}};
  const message::MailImage image = {.url = mail::UrlOfPart(head, picture.part.name),
                                    .alt = AltOf(picture.chart),
                                    .width = static_cast<int>(kChartWidth),
                                    .height = static_cast<int>(kChartHeight)};
  picture.html = message::MailMessageOf(words, footer, image).html;
  return picture;
}

class EmailKind final : public DestinationKind {
 public:
  explicit EmailKind(const std::optional<MailIdentity>& identity) : identity_(identity) {}

  const KindTraits& traits() const override { return traits_; }

  absl::StatusOr<CheckedSettings> Check(const Json& asked) const override {
    if (!identity_) {
      return base::FailedPrecondition(
          kReasonMailOff, "mail is off in this installation: its operator has not configured a mail server");
    }
    SettingsCheck check(traits_.field, asked);
    const absl::StatusOr<std::string> address = mail::ParseAddress(check.Text("address"));
    check.Check(address.ok(), "address", std::string(address.status().message()));
    STOCKALERT_RETURN_IF_ERROR(check.ToStatus());
    // An address is no secret to its owner.
    const std::string settings = Json{{"address", *address}}.dump();
    return CheckedSettings{.settings = settings,
                           .shown = settings,
                           .address = *address,
                           .target = TargetOf(*address),
                           .host = kHost,
                           .mailbox = absl::AsciiStrToLower(*address)};
  }

  absl::StatusOr<OutgoingRequest> Compose(const Parcel& parcel) const override {
    if (!identity_) return absl::FailedPreconditionError("this installation sends no mail any more");
    const Json settings = Json::parse(parcel.settings, nullptr, /*allow_exceptions=*/false);
    const absl::StatusOr<std::string> address = mail::ParseAddress(TextIn(settings, "address"));
    if (!address.ok()) return absl::DataLossError("no settings of a mailbox");
    const bool verified = parcel.notice.type != message::Type::kVerification;
    const message::NotificationText words = message::TextOf(parcel.notice);
    const std::string footer = verified ? kFooter : "";
    const message::MailMessage content = message::MailMessageOf(words, footer);
    OutgoingMail outgoing;
    mail::Mail& mail = outgoing.mail;
    mail.head = {.from = identity_->from,
                 .from_name = identity_->from_name,
                 .to = *address,
                 .subject = content.subject,
                 .id = parcel.id,
                 .date_us = parcel.notice.create_time_us,
                 .unsubscribe = identity_->unsubscribe,
                 .unsubscribe_subject = absl::StrCat("unsubscribe ", parcel.destination_id)};
    if (identity_->unsubscribe_url)
      mail.head.unsubscribe_url = identity_->unsubscribe_url(parcel.notice.user_id, parcel.destination_id, *address);
    mail.text = content.text;
    mail.html = content.html;
    if (parcel.notice.type == message::Type::kTriggered)
      outgoing.picture = PictureOf(parcel.notice, mail.head, words, footer);
    return OutgoingRequest(std::move(outgoing));
  }

  Verdict Judge(const ServiceReply& reply, const Delivery&, int64_t) const override {
    const std::string error = absl::StrCat("the mail server ", AnsweredText(reply.status, reply.body));
    switch (reply.mail_outcome) {
      case mail::MailOutcome::kAccepted:
        return Delivered();
      case mail::MailOutcome::kRefused:
        return Refused(error);
      case mail::MailOutcome::kNoMailbox:
        return Gone(error);
      default:
        return Retry(error);
    }
  }

 private:
  const KindTraits traits_ = {.id = KindId::kEmail,
                              .field = "email",
                              .inputs = {"address"},
                              .proof = Proof::kCode,
                              .has_keys = false,
                              .has_mailbox = true,
                              .is_worded = true,
                              // More in a mailbox are a nuisance, and get the server a bad name.
                              .per_minute_max = 20};
  const std::optional<MailIdentity> identity_;
};

}  // namespace

std::unique_ptr<const DestinationKind> MakeEmailKind(const std::optional<MailIdentity>& identity) {
  return std::make_unique<EmailKind>(identity);
}

}  // namespace stockalert::notifier
