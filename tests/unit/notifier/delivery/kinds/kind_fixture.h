// What the tests of all kinds need: a kind of the official installation, notices, and what became of them.
#pragma once

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "services/common/base/error.h"
#include "services/notifier/delivery/kinds/kinds.h"

namespace stockalert::notifier {

constexpr int64_t kTestNowUs = 1'795'444'200'000'000;  // 2026-11-23T14:30:00Z

inline const Kinds& OfficialKinds() {
  static const Kinds kinds{EgressGuard(), KindHosts(),
                           MailIdentity{"alerts@example.org", "StockAlert", "stop@example.org"},
                           AppriseServer::Parse("http://apprise:8000", kDefaultAppriseSchemes).value()};
  return kinds;
}

// A trigger whose note and symbol are what a kind has to escape or cut.
inline message::Notice TriggerNotice(const std::string& note, const std::string& symbol = "AAPL") {
  message::Notice notice;
  notice.type = message::Type::kTriggered;
  notice.user_id = "00000000-0000-4000-8000-000000000001";
  notice.notification_id = "00000000-0000-4000-8000-000000000003";
  notice.alert_id = "00000000-0000-4000-8000-000000000002";
  notice.trigger_number = 3;
  notice.price_micros = 150'250'000;
  notice.price_before_micros = 149'900'000;
  notice.reference_micros = 150'000'000;
  notice.symbol = symbol;
  notice.summary = symbol + " at or above 150";
  notice.note = note;
  notice.event_time_us = kTestNowUs;
  notice.create_time_us = kTestNowUs;
  return notice;
}

inline message::Notice CriticalNotice() {
  message::Notice notice = TriggerNotice("");
  notice.critical = true;
  return notice;
}

inline message::Notice CodeNotice(const std::string& code) {
  message::Notice notice;
  notice.type = message::Type::kVerification;
  notice.create_time_us = kTestNowUs;
  notice.code = code;
  return notice;
}

struct KindFixture {
  explicit KindFixture(KindId id, nlohmann::json given) : kind(*OfficialKinds().Find(id)), asked(std::move(given)) {}

  CheckedSettings Checked() const {
    auto checked = kind.Check(asked);
    INFO(checked.status());
    REQUIRE(checked.ok());
    return *std::move(checked);
  }
  OutgoingHttp Compose(const message::Notice& notice) const {
    Parcel parcel;
    parcel.settings = Checked().settings;
    parcel.notice = notice;
    parcel.id = "msg_1";
    parcel.now_us = kTestNowUs;
    const auto request = kind.Compose(parcel);
    INFO(request.status());
    REQUIRE(request.ok());
    return std::get<OutgoingHttp>(*request);
  }
  nlohmann::json Body(const message::Notice& notice) const { return nlohmann::json::parse(Compose(notice).body); }
  // The field that is wrong if `field` has `value`; empty: none is.
  std::string Fault(const std::string& field, const nlohmann::json& value) const {
    nlohmann::json other = asked;
    other[field] = value;
    const auto details = base::FindErrorDetails(kind.Check(other).status());
    return details && !details->violations.empty() ? details->violations.front().field : "";
  }
  Verdict Judge(int status, const std::string& body = "", std::map<std::string, std::string> headers = {}) const {
    return kind.Judge({status, std::move(headers), body}, Delivery(), kTestNowUs);
  }

  const DestinationKind& kind;
  nlohmann::json asked;
};

}  // namespace stockalert::notifier
