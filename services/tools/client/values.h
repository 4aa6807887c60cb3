// Values as people write and read them: durations, times, conditions, names. Pure and thread-safe.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "stockalert/alert/v1/alert.pb.h"
#include "stockalert/quote/v1/quote.pb.h"

namespace stockalert::client {

// "90s", "5m", "1h30m", "7d". INVALID_ARGUMENT says what to write.
absl::StatusOr<google::protobuf::Duration> ParseDuration(const std::string& text);
// RFC 3339 ("2026-12-31T21:00:00Z"), or "+7d": so long after `now`.
absl::StatusOr<google::protobuf::Timestamp> ParseTime(const std::string& text, absl::Time now);

// "2026-11-23 15:04:05.25Z"; empty for none.
std::string FormatTime(const google::protobuf::Timestamp& time);
std::string FormatDuration(const google::protobuf::Duration& duration);

// "at or above 150", "up 5% from the previous close".
std::string FormatCondition(const alert::v1::Condition& condition);
// "ACTIVE": an enum value's name without its prefix.
std::string FormatState(alert::v1::Alert::State state);
std::string FormatPolicy(const alert::v1::Alert& alert);
std::string FormatSession(quote::v1::Session session);

// The last segment: an alert's or notification's id.
std::string IdOf(const std::string& name);
// A name as given, or that of the caller's own: ("abc", "alerts") → "users/me/alerts/abc".
std::string NameOf(const std::string& id, const std::string& collection);
// A name as given, or that of a user's id: "abc" → "users/abc".
std::string UserNameOf(const std::string& user);
// A name as given, or that of a symbol: "aapl" → "tickers/AAPL".
std::string TickerNameOf(const std::string& symbol);

}  // namespace stockalert::client
