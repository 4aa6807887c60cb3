#include "services/tools/log/stream_printer.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::logtool {
namespace {

namespace pb = ::stockalert::internal::v1;
using Json = nlohmann::json;

pb::LogRecord QuoteOf(int64_t epoch, int64_t sequence, int64_t price_micros = 150'250'000) {
  pb::LogRecord record;
  pb::QuoteRecord& quote = *record.mutable_quote();
  quote.set_symbol("AAPL");
  quote.set_price_micros(price_micros);
  quote.set_event_time_us(1'460'727'000'000'000);
  quote.set_session(pb::TRADING_SESSION_REGULAR);
  quote.set_source("replay");
  quote.set_publisher_epoch(epoch);
  quote.set_sequence(sequence);
  return record;
}

pb::LogRecord ChangeOf() {
  pb::LogRecord record;
  pb::AlertChangeRecord& change = *record.mutable_alert_change();
  change.set_alert_id("00000000-0000-4000-8000-000000000001");
  change.set_symbol("AAPL");
  change.set_revision(3);
  change.set_armed_revision(2);
  pb::AlertDefinition& definition = *change.mutable_definition();
  definition.set_trigger_policy(pb::TRIGGER_POLICY_KIND_REPEAT);
  definition.set_cooldown_us(60'000'000);
  definition.set_creation_policy(pb::CREATION_POLICY_KIND_WAIT_FOR_CROSS);
  return record;
}

std::string Printed(StreamPrinter& printer, const pb::LogRecord& record, int64_t offset = 7) {
  std::string out;
  const absl::Status status = printer.Print("AAPL", record.SerializeAsString(), offset, &out);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return out;
}

TEST_CASE("a quote is printed with what is known of it") {
  StreamPrinter printer;
  pb::LogRecord record = QuoteOf(1, 1);
  CHECK(Printed(printer, record) == R"({"op":"quote","symbol":"AAPL","price":"150.25","time":1460727000000000,)"
                                    R"("session":"REGULAR","offset":7,"epoch":1,"sequence":1,"rules":1})"
                                    "\n");
  record = QuoteOf(1, 2);
  record.mutable_quote()->set_day_high_micros(151'000'000);
  record.mutable_quote()->set_day_low_micros(1);
  record.mutable_quote()->set_day_open_micros(150'000'000);
  record.mutable_quote()->set_previous_close_micros(149'500'000);
  Json line = Json::parse(Printed(printer, record));
  CHECK_FALSE(line.contains("day_high"));  // By its rules nothing of it is evaluated.
  CHECK_FALSE(line.contains("day_low"));
  CHECK(line["day_open"] == "150");
  CHECK(line["prev_close"] == "149.5");

  record.mutable_quote()->set_sequence(3);
  record.mutable_quote()->set_rules(2);
  line = Json::parse(Printed(printer, record));
  CHECK_FALSE(line.contains("rules"));
  CHECK(line["day_high"] == "151");
  CHECK(line["day_low"] == "0.000001");

  record.mutable_quote()->set_sequence(4);
  record.mutable_quote()->set_session(pb::TRADING_SESSION_PRE);
  const Json before_open = Json::parse(Printed(printer, record));
  CHECK_FALSE(before_open.contains("day_open"));
  CHECK_FALSE(before_open.contains("prev_close"));
}

TEST_CASE("quotes that were sent again are left out") {
  StreamPrinter printer;
  CHECK_FALSE(Printed(printer, QuoteOf(1, 1)).empty());
  CHECK_FALSE(Printed(printer, QuoteOf(1, 2)).empty());
  CHECK(Printed(printer, QuoteOf(1, 2)).empty());
  CHECK(Printed(printer, QuoteOf(1, 1)).empty());
  CHECK_FALSE(Printed(printer, QuoteOf(2, 1)).empty());
  CHECK(Printed(printer, QuoteOf(1, 9)).empty());
  // What is refused leaves no trace.
  CHECK_FALSE(Printed(printer, QuoteOf(9, 9, 0)).empty());
  CHECK_FALSE(Printed(printer, QuoteOf(2, 2)).empty());
  // One that nobody numbered.
  CHECK_FALSE(Printed(printer, QuoteOf(0, 0)).empty());
  CHECK_FALSE(Printed(printer, QuoteOf(0, 0)).empty());
  CHECK(printer.skipped_repeats() == 3);
  CHECK(printer.printed() == 7);
}

TEST_CASE("a change is printed whole") {
  StreamPrinter printer;
  SECTION("a target") {
    pb::LogRecord record = ChangeOf();
    auto& target = *record.mutable_alert_change()->mutable_definition()->mutable_price_target();
    target.set_op(pb::PriceTargetDefinition::OP_AT_OR_BELOW);
    target.set_price_micros(99'500'000);
    record.mutable_alert_change()->mutable_definition()->set_hysteresis_micros(500'000);
    record.mutable_alert_change()->mutable_definition()->set_expire_time_us(1'500'000'000'000'000);
    record.mutable_alert_change()->set_paused(true);
    CHECK(
        Printed(printer, record) ==
        R"({"op":"alert","id":"00000000-0000-4000-8000-000000000001","symbol":"AAPL","revision":3,"armed_revision":2,"paused":true,)"
        R"("deleted":false,"condition":{"kind":"target","op":"AT_OR_BELOW","price":"99.5"},"policy":"REPEAT","cooldown_us":60000000,)"
        R"("hysteresis":"0.5","creation":"WAIT_FOR_CROSS","sessions":"REGULAR","expire_time":1500000000000000})"
        "\n");
  }
  SECTION("percent in a window") {
    pb::LogRecord record = ChangeOf();
    auto& change = *record.mutable_alert_change()->mutable_definition()->mutable_percent_change();
    change.set_op(pb::PercentChangeDefinition::OP_EITHER);
    change.set_percent_e4(25'000);
    change.set_reference(pb::PercentChangeDefinition::REFERENCE_WINDOW);
    change.set_window_us(300'000'000);
    record.mutable_alert_change()->mutable_definition()->set_extended_sessions(true);
    const Json line = Json::parse(Printed(printer, record));
    CHECK(
        line["condition"] ==
        Json::parse(R"({"kind":"percent","op":"EITHER","percent":"2.5","reference":"WINDOW","window_us":300000000})"));
    CHECK(line["sessions"] == "EXTENDED");
    CHECK(line["expire_time"].is_null());
    CHECK(line["hysteresis"] == "0");
  }
  SECTION("percent from a given price") {
    pb::LogRecord record = ChangeOf();
    auto& change = *record.mutable_alert_change()->mutable_definition()->mutable_percent_change();
    change.set_op(pb::PercentChangeDefinition::OP_UP);
    change.set_percent_e4(1);
    change.set_reference(pb::PercentChangeDefinition::REFERENCE_GIVEN);
    change.set_given_price_micros(100'000'000);
    CHECK(Json::parse(Printed(printer, record))["condition"] ==
          Json::parse(R"({"kind":"percent","op":"UP","percent":"0.0001","reference":"GIVEN","given":"100"})"));
  }
  SECTION("trailing") {
    pb::LogRecord record = ChangeOf();
    auto& trailing = *record.mutable_alert_change()->mutable_definition()->mutable_trailing_change();
    trailing.set_op(pb::TrailingChangeDefinition::OP_FALLS_FROM_HIGH);
    trailing.set_percent_e4(50'000);
    trailing.set_activation_price_micros(180'000'000);
    CHECK(Json::parse(Printed(printer, record))["condition"] ==
          Json::parse(R"({"kind":"trailing","op":"FALLS_FROM_HIGH","percent":"5","activation":"180"})"));
    trailing.clear_percent_e4();
    trailing.clear_activation_price_micros();
    trailing.set_amount_micros(2'500'000);
    trailing.set_op(pb::TrailingChangeDefinition::OP_RISES_FROM_LOW);
    CHECK(Json::parse(Printed(printer, record))["condition"] ==
          Json::parse(R"({"kind":"trailing","op":"RISES_FROM_LOW","amount":"2.5"})"));
  }
  SECTION("a channel, deleted") {
    pb::LogRecord record = ChangeOf();
    auto& channel = *record.mutable_alert_change()->mutable_definition()->mutable_channel();
    channel.set_op(pb::ChannelDefinition::OP_LEAVES);
    channel.set_low_micros(1'000'000);
    channel.set_high_micros(2'000'000);
    record.mutable_alert_change()->set_deleted(true);
    const Json line = Json::parse(Printed(printer, record));
    CHECK(line["condition"] == Json::parse(R"({"kind":"channel","op":"LEAVES","low":"1","high":"2"})"));
    CHECK(line["deleted"] == true);
    // Of a deleted one an older program may have written no definition.
    record.mutable_alert_change()->clear_definition();
    CHECK(Json::parse(Printed(printer, record))["deleted"] == true);
  }
}

TEST_CASE("a split is printed, and which changes are stated in prices of before") {
  StreamPrinter printer;
  pb::LogRecord record;
  pb::SplitRecord& split = *record.mutable_split();
  split.set_symbol("AAPL");
  split.set_split_id("s1");
  split.set_number(1);
  split.set_numerator(4);
  split.set_denominator(1);
  split.set_effective_time_us(5);
  CHECK(Printed(printer, record) ==
        R"({"op":"split","symbol":"AAPL","ratio":"4/1","time":5,"number":1,"id":"s1","offset":7})"
        "\n");
  pb::LogRecord change = ChangeOf();
  change.mutable_alert_change()->mutable_definition()->mutable_price_target()->set_op(
      pb::PriceTargetDefinition::OP_CROSSES);
  change.mutable_alert_change()->mutable_definition()->mutable_price_target()->set_price_micros(100'000'000);
  CHECK(Json::parse(Printed(printer, change))["splits_applied"] == 0);
  change.mutable_alert_change()->set_splits_applied(1);
  CHECK_FALSE(Json::parse(Printed(printer, change)).contains("splits_applied"));
}

TEST_CASE("a suspected split and its dismissal are printed with their places and their publisher's") {
  StreamPrinter printer;
  pb::LogRecord suspected;
  suspected.mutable_split_suspected()->set_symbol("AAPL");
  suspected.mutable_split_suspected()->set_publisher_epoch(2);
  suspected.mutable_split_suspected()->set_sequence(3);
  CHECK(Printed(printer, suspected) == R"({"op":"split_suspected","symbol":"AAPL","epoch":2,"sequence":3,"offset":7})"
                                       "\n");
  // The suspicion counts as seen for a quote after it: its line says whether it does.
  const Json quote = Json::parse(Printed(printer, QuoteOf(2, 3)));
  CHECK(quote["epoch"] == 2);
  CHECK(quote["sequence"] == 3);
  CHECK_FALSE(Json::parse(Printed(printer, QuoteOf(0, 0))).contains("epoch"));
  pb::LogRecord dismissed;
  dismissed.mutable_split_dismissed()->set_symbol("AAPL");
  CHECK(Printed(printer, dismissed, 9) ==
        R"({"op":"split_dismissed","symbol":"AAPL","epoch":0,"sequence":0,"offset":9})"
        "\n");
  dismissed.mutable_split_dismissed()->set_sequence(-1);
  std::string out;
  CHECK(absl::IsDataLoss(printer.Print("AAPL", dismissed.SerializeAsString(), 1, &out)));
  CHECK(out.empty());
}

TEST_CASE("a restart, and records that cannot be printed") {
  StreamPrinter printer;
  pb::LogRecord restart;
  restart.mutable_restart()->set_symbol("AAPL");
  CHECK(Printed(printer, restart) == "{\"op\":\"restart\",\"symbol\":\"AAPL\"}\n");
  std::string out;
  CHECK(absl::IsDataLoss(printer.Print("AAPL", "no record at all", 1, &out)));
  CHECK(absl::IsDataLoss(printer.Print("AAPL", "", 1, &out)));
  CHECK(absl::IsDataLoss(printer.Print("AAPL", ChangeOf().SerializeAsString(), 1, &out)));
  // A quote under another key is nobody's.
  CHECK(printer.Print("MSFT", QuoteOf(1, 1).SerializeAsString(), 1, &out).ok());
  CHECK(out.empty());
  CHECK(printer.skipped_malformed() == 1);
}

}  // namespace
}  // namespace stockalert::logtool
