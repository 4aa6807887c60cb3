#include "services/alert/definition_json.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"

namespace stockalert::alert {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using nlohmann::json;

bool ReadObject(const json& object, Message* message);

// JSON has no integers of 64 bits: they are texts.
bool ReadInt64(const json& value, int64_t* number) {
  if (value.is_string()) return absl::SimpleAtoi(value.get_ref<const std::string&>(), number);
  if (!value.is_number_integer() || value.is_number_unsigned()) return false;
  *number = value.get<int64_t>();
  return true;
}

bool ReadField(const json& value, const FieldDescriptor* field, Message* message) {
  const google::protobuf::Reflection* reflection = message->GetReflection();
  if (field->is_repeated()) return false;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t number = 0;
      if (!ReadInt64(value, &number)) return false;
      reflection->SetInt64(message, field, number);
      return true;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!value.is_boolean()) return false;
      reflection->SetBool(message, field, value.get<bool>());
      return true;
    case FieldDescriptor::CPPTYPE_ENUM: {
      if (!value.is_string()) return false;
      const auto* known = field->enum_type()->FindValueByName(value.get_ref<const std::string&>());
      if (known == nullptr) return false;
      reflection->SetEnum(message, field, known);
      return true;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ReadObject(value, reflection->MutableMessage(message, field));
    default:
      return false;
  }
}

bool ReadObject(const json& object, Message* message) {
  if (!object.is_object()) return false;
  for (const auto& [name, value] : object.items()) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByCamelcaseName(name);
    if (field == nullptr || !ReadField(value, field, message)) return false;
  }
  return true;
}

}  // namespace

bool ReadDefinitionJson(const std::string& text, internal::v1::AlertDefinition* message) {
  const json parsed = json::parse(text, /*callback=*/nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_discarded() && ReadObject(parsed, message)) return true;
  // Not as this version writes it: whether it may be is for Protobuf's reader to say.
  message->Clear();
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  return google::protobuf::util::JsonStringToMessage(text, message, options).ok();
}

}  // namespace stockalert::alert
