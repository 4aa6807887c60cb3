#include "tests/support/poison/poison.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>

#include "stockalert/internal/v1/events.pb.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::testing {
namespace {

namespace ipb = ::stockalert::internal::v1;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr int64_t kTimeUs = 1'767'366'000'000'000;
// Field 99, a string: of a version to come.
constexpr char kUnknownKind[] = "\x9a\x06\x04news";

struct Mutation {
  std::string name;
  std::function<void(const Reflection&, Message*)> apply;
};

std::vector<Mutation> MutationsOf(const FieldDescriptor* field) {
  std::vector<Mutation> mutations;
  const auto text = [&](const char* name, const std::string& value) {
    mutations.push_back({name, [field, value](const Reflection& reflection, Message* message) {
                           if (field->is_repeated()) {
                             reflection.AddString(message, field, value);
                           } else {
                             reflection.SetString(message, field, value);
                           }
                         }});
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      text("empty", "");
      text("NUL", std::string("a\0b", 3));
      text("no UTF-8", "\xff\xfe");
      text("huge", std::string(500'000, 'x'));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      for (const auto& [name, number] :
           {std::pair<const char*, int64_t>{"largest", std::numeric_limits<int64_t>::max()},
            {"smallest", std::numeric_limits<int64_t>::min()}}) {
        mutations.push_back({name, [field, number](const Reflection& reflection, Message* message) {
                               reflection.SetInt64(message, field, number);
                             }});
      }
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      for (const auto& [name, number] :
           {std::pair<const char*, int32_t>{"largest", std::numeric_limits<int32_t>::max()},
            {"smallest", std::numeric_limits<int32_t>::min()}}) {
        mutations.push_back({name, [field, number](const Reflection& reflection, Message* message) {
                               reflection.SetInt32(message, field, number);
                             }});
      }
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      mutations.push_back({"unknown value", [field](const Reflection& reflection, Message* message) {
                             reflection.SetEnumValue(message, field, 99);
                           }});
      break;
    default:
      break;  // A boolean has no other values; messages are walked into. Lists are of texts only.
  }
  return mutations;
}

// Every leaf field that is set in `sample` or could be, each mutation in a copy of its own.
void Walk(const Message& sample, const std::string& path, const std::function<std::unique_ptr<Message>()>& copy,
          const std::function<Message*(Message*)>& find,
          const std::function<void(const std::string&, const Message&)>& emit) {
  const Reflection& reflection = *sample.GetReflection();
  for (int i = 0; i < sample.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = sample.GetDescriptor()->field(i);
    const std::string name = path.empty() ? field->name() : path + "." + field->name();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!reflection.HasField(sample, field)) continue;
      Walk(
          reflection.GetMessage(sample, field), name, copy,
          [find, field](Message* root) {
            Message* parent = find(root);
            return parent->GetReflection()->MutableMessage(parent, field);
          },
          emit);
      continue;
    }
    for (const Mutation& mutation : MutationsOf(field)) {
      std::unique_ptr<Message> mutant = copy();
      Message* target = find(mutant.get());
      mutation.apply(*target->GetReflection(), target);
      emit(name + ": " + mutation.name, *mutant);
    }
  }
}

void AddMutants(const Message& sample, const std::string& key, std::vector<Poison>& all) {
  Walk(
      sample, "",
      [&sample] {
        std::unique_ptr<Message> copy(sample.New());
        copy->CopyFrom(sample);
        return copy;
      },
      [](Message* root) { return root; },
      [&](const std::string& name, const Message& mutant) {
        all.push_back({name, key, mutant.SerializeAsString(), kTrace, false});
      });
}

// What every topic gets: `sample` is a sound record.
void AddRaw(const std::string& sample, const std::string& key, std::vector<Poison>& all) {
  all.push_back({"no bytes", key, "", kTrace, false});
  all.push_back({"garbage", key, std::string("\xff\x00\xfe garbage \x80", 13), kTrace, false});
  all.push_back({"cut short", key, sample.substr(0, sample.size() - 1), kTrace, false});
  all.push_back({"900 KB of garbage", key, std::string(900'000, '\xff'), kTrace, false});
  all.push_back({"another key", "another key", sample, kTrace, false});
  all.push_back({"no key", "", sample, kTrace, false});
  all.push_back({"key of bytes", std::string("\xff\x00\xfe", 3), sample, kTrace, false});
  all.push_back({"traceparent: no UTF-8", key, sample, "\xff\xfe\xfd", false});
  all.push_back({"traceparent: NUL", key, sample, std::string("00-\0", 4) + kTrace, false});
  all.push_back({"traceparent: bytes behind it", key, sample,
                 "01" + std::string(kTrace).substr(2) + std::string("-\xff\x00", 3), false});
  all.push_back({"traceparent: 100 KB", key, sample, std::string(100'000, 'a'), false});
  all.push_back({"unknown kind", key, kUnknownKind, kTrace, true});
}

ipb::AlertTriggered Triggered(const Sample& sample, int64_t number) {
  ipb::AlertTriggered trigger;
  trigger.set_alert_id(sample.alert_id);
  trigger.set_symbol(sample.symbol);
  trigger.set_revision(1);
  trigger.set_trigger_number(number);
  trigger.set_price_micros(150'000'000);
  trigger.set_event_time_us(kTimeUs);
  trigger.set_price_before_micros(149'000'000);
  trigger.set_reference_micros(150'000'000);
  trigger.set_log_time_us(kTimeUs);
  return trigger;
}

}  // namespace

std::vector<Poison> MakePoison(const std::string& topic, const Sample& sample) {
  std::vector<Poison> all;
  if (topic == "prices") {
    ipb::LogRecord quote;
    ipb::QuoteRecord& q = *quote.mutable_quote();
    q.set_symbol(sample.symbol);
    q.set_price_micros(150'000'000);
    q.set_event_time_us(kTimeUs);
    q.set_session(ipb::TRADING_SESSION_REGULAR);
    q.set_source("poison");
    AddRaw(quote.SerializeAsString(), sample.symbol, all);
    AddMutants(quote, sample.symbol, all);
    ipb::LogRecord change;
    ipb::AlertChangeRecord& c = *change.mutable_alert_change();
    c.set_alert_id(sample.alert_id);
    c.set_symbol(sample.symbol);
    c.set_revision(1);
    c.set_armed_revision(1);
    c.mutable_definition()->mutable_price_target()->set_op(ipb::PriceTargetDefinition::OP_AT_OR_ABOVE);
    c.mutable_definition()->mutable_price_target()->set_price_micros(150'000'000);
    c.mutable_definition()->set_trigger_policy(ipb::TRIGGER_POLICY_KIND_ONCE);
    c.mutable_definition()->set_creation_policy(ipb::CREATION_POLICY_KIND_FIRE_IF_MET);
    AddMutants(change, sample.symbol, all);
    ipb::LogRecord restart;
    restart.mutable_restart()->set_symbol(sample.symbol);
    AddMutants(restart, sample.symbol, all);
    ipb::LogRecord split;
    ipb::SplitRecord& s = *split.mutable_split();
    s.set_symbol(sample.symbol);
    s.set_split_id("poison");
    s.set_number(1);
    s.set_numerator(2);
    s.set_denominator(1);
    s.set_effective_time_us(kTimeUs);
    AddMutants(split, sample.symbol, all);
    ipb::LogRecord suspected;
    suspected.mutable_split_suspected()->set_symbol(sample.symbol);
    AddMutants(suspected, sample.symbol, all);
    ipb::LogRecord dismissed;
    dismissed.mutable_split_dismissed()->set_symbol(sample.symbol);
    AddMutants(dismissed, sample.symbol, all);
  } else if (topic == "alert-events") {
    ipb::AlertEvent triggered;
    *triggered.mutable_triggered() = Triggered(sample, 1'000'000);
    AddRaw(triggered.SerializeAsString(), sample.alert_id, all);
    AddMutants(triggered, sample.alert_id, all);
    ipb::AlertEvent confirmed;
    confirmed.mutable_change_confirmed()->set_alert_id(sample.alert_id);
    confirmed.mutable_change_confirmed()->set_revision(1);
    AddMutants(confirmed, sample.alert_id, all);
    ipb::AlertEvent status;
    status.mutable_symbol_status()->set_symbol(sample.symbol);
    AddMutants(status, sample.symbol, all);
  } else if (topic == "triggers") {
    ipb::TriggerMessage message;
    *message.mutable_trigger() = Triggered(sample, 1'000'000);
    message.set_user_id(sample.user_id);
    message.set_note("note");
    message.set_summary("summary");
    AddRaw(message.SerializeAsString(), sample.user_id, all);
    AddMutants(message, sample.user_id, all);
  } else if (topic == "user-events") {
    ipb::UserEvent event;
    event.mutable_user_deleted()->set_user_id(sample.user_id);
    event.mutable_user_deleted()->set_delete_time_us(kTimeUs);
    AddRaw(event.SerializeAsString(), sample.user_id, all);
    AddMutants(event, sample.user_id, all);
  }
  return all;
}

}  // namespace stockalert::testing
