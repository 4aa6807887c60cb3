// The text of messages to users, the same for every kind of destination. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/domain/message/notice.h"

namespace stockalert::message {

struct TextField {
  std::string name;
  std::string value;
  bool operator==(const TextField&) const = default;
};

// UTF-8, without markup: escape it where markup is used.
struct NotificationText {
  std::string title;              // One line.
  std::string text;               // A few lines, without the contents of `fields`; the user's note last.
  std::vector<TextField> fields;  // Values for a line or a column of their own; may be empty.
};

NotificationText TextOf(const Notice& notice);

// The summary of a split's notice: "AAPL split 4-for-1: 3 of your alerts now use prices divided by 4".
std::string SplitSummary(std::string_view symbol, const SplitNews& split);

// All but the title in lines: the text, then "name: value" of each field.
std::string PlainText(const NotificationText& text);

}  // namespace stockalert::message
