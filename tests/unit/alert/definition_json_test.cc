#include "services/alert/definition_json.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace stockalert::alert {
namespace {

namespace ipb = internal::v1;
using google::protobuf::util::MessageDifferencer;

ipb::AlertDefinition Trailing() {
  ipb::AlertDefinition definition;
  auto* trailing = definition.mutable_trailing_change();
  trailing->set_op(ipb::TrailingChangeDefinition::OP_FALLS_FROM_HIGH);
  trailing->set_percent_e4(50'000);
  trailing->set_activation_price_micros(0);
  definition.set_trigger_policy(ipb::TRIGGER_POLICY_KIND_REPEAT);
  definition.set_cooldown_us(9'007'199'254'740'993);  // More than a double holds.
  definition.set_hysteresis_micros(-1);
  definition.set_creation_policy(ipb::CREATION_POLICY_KIND_WAIT_FOR_CROSS);
  definition.set_extended_sessions(true);
  definition.set_expire_time_us(0);
  return definition;
}

ipb::AlertDefinition Percent() {
  ipb::AlertDefinition definition;
  auto* percent = definition.mutable_percent_change();
  percent->set_op(ipb::PercentChangeDefinition::OP_EITHER);
  percent->set_reference(ipb::PercentChangeDefinition::REFERENCE_WINDOW);
  percent->set_percent_e4(1);
  percent->set_given_price_micros(2);
  percent->set_window_us(3);
  return definition;
}

TEST_CASE("what is written is read back, each field") {
  ipb::AlertDefinition channel;
  channel.mutable_channel()->set_low_micros(1);
  channel.mutable_channel()->set_high_micros(INT64_MAX);
  ipb::AlertDefinition target;
  target.mutable_price_target();
  for (const ipb::AlertDefinition& definition : {Trailing(), Percent(), channel, target, ipb::AlertDefinition()}) {
    std::string json;
    REQUIRE(google::protobuf::util::MessageToJsonString(definition, &json).ok());
    ipb::AlertDefinition read;
    CHECK(ReadDefinitionJson(json, &read));
    CHECK(MessageDifferencer::Equals(read, definition));
  }
}

TEST_CASE("what Protobuf's reader takes is taken, as it takes it") {
  struct Case {
    std::string json;
    bool ok;
  };
  const std::vector<Case> cases = {
      {R"({"priceTarget":{"op":"OP_CROSSES","priceMicros":150000000}})", true},
      {R"({"price_target":{"op":2,"price_micros":"1"}})", true},
      {R"({"priceTarget":{"priceMicros":"1"},"ofALaterVersion":{"deep":[1]}})", true},
      {R"({"priceTarget":null,"cooldownUs":1.0})", true},
      {R"({"cooldownUs":"1","extendedSessions":"true"})", true},
      {R"({"priceTarget":{"priceMicros":"99999999999999999999"}})", false},
      {R"({"priceTarget":{"priceMicros":"x"}})", false},
      {R"({"priceTarget":[]})", false},
      {R"({"cooldownUs":{}})", false},
      {R"([])", false},
      {R"({"cooldownUs":"1")", false},
      {"", false},
  };
  for (const Case& one : cases) {
    CAPTURE(one.json);
    ipb::AlertDefinition expected, read;
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    const bool ok = google::protobuf::util::JsonStringToMessage(one.json, &expected, options).ok();
    CHECK(ok == one.ok);
    CHECK(ReadDefinitionJson(one.json, &read) == ok);
    if (ok) CHECK(MessageDifferencer::Equals(read, expected));
  }
}

}  // namespace
}  // namespace stockalert::alert
