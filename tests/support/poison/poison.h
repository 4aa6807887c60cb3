// Records that no service should ever meet: every field of every message of a topic, with values that it must never
// have. Pure.
#pragma once

#include <string>
#include <vector>

namespace stockalert::testing {

struct Poison {
  std::string name;  // "quote.source: NUL"
  std::string key;
  std::string value;
  std::string traceparent;  // Empty: no header.
  bool unknown_kind = false;
};

// Whom the sound samples are about, so that nothing but the poison is wrong with them.
struct Sample {
  std::string user_id;
  std::string alert_id;
  std::string symbol;
};

// For "prices", "alert-events", "triggers" or "user-events".
std::vector<Poison> MakePoison(const std::string& topic, const Sample& sample);

}  // namespace stockalert::testing
