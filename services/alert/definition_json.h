// An alert's definition as the JSON that its row has.
//
// Protobuf's own reader describes the message to itself anew for each text, which costs five times what the text does.
// Pure and thread-safe.
#pragma once

#include <string>

#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::alert {

// As google::protobuf::util::JsonStringToMessage, unknown fields ignored. False: the text is no such JSON.
bool ReadDefinitionJson(const std::string& json, internal::v1::AlertDefinition* message);

}  // namespace stockalert::alert
