// What the Postgres stores of the alert service share: conversion of rows, statements with named parameters, and the
// API's errors for failed transactions.
//
// Belongs to the connection that it was made for. Statements throw, as SOCI does: postgres::Transact catches.
#pragma once

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/alert/alert_types.h"

namespace stockalert::alert {

std::string EncodeDefinitionJson(const condition::Definition& definition);

// The column `reference`: which price of the trading date the alert waits for. 0: none, 1: the previous close, 2: the
// day's open.
int ReferenceOf(const condition::Definition& definition);

// The API's error for a failed transaction. Errors of our own, and refusals by the rules, are returned unchanged.
absl::Status ToError(const absl::Status& status);

template <typename T>
absl::StatusOr<T> ToError(absl::StatusOr<T> result) {
  if (!result.ok()) return ToError(result.status());
  return result;
}

// SELECTs of what Query reads as Views, Alerts and Triggers. `rest` follows the tables of alerts `a`, last triggers `t`
// and statuses `s`,
std::string ViewQuery(absl::string_view rest);
// or FROM, and names alerts `a`,
std::string AlertQuery(absl::string_view from);
// or triggers `t`.
std::string TriggerQuery(absl::string_view from);

// A statement, for one execution, whose parameters are bound by name. What is bound must outlive the execution.
class Query {
 public:
  Query(soci::session& sql, std::string text) : statement_(sql), text_(std::move(text)) {}

  template <typename T>
  Query& Bind(const char* name, const T& value) {
    statement_.exchange(soci::use(value, name));
    return *this;
  }

  absl::StatusOr<std::vector<ShownAlert>> FetchViews();
  absl::StatusOr<std::vector<StoredAlert>> FetchAlerts();
  std::vector<RecordedTrigger> FetchTriggers();
  std::vector<std::string> FetchTexts();
  std::vector<AlertOwner> FetchOwners();
  void Execute();

 private:
  void Prepare();
  void Begin();

  soci::statement statement_;
  const std::string text_;
};

// Writes an alert that was changed and opens its change. Kept with its connection.
struct ChangeStatement {
  explicit ChangeStatement(soci::session& sql);
  void Run(const StoredAlert& alert, int64_t now_us);

  soci::statement statement;
  std::map<std::string, std::string> texts = {{"id", ""}, {"definition", ""}, {"note", ""}, {"destinations", ""}};
  std::map<std::string, long long> numbers = {{"reference", 0}, {"revision", 0}, {"armed", 0}, {"paused", 0},
                                              {"triggered", 0}, {"deleted", 0},  {"now", 0},   {"next", 0},
                                              {"delivery", 0},  {"critical", 0}, {"splits", 0}};
  long long expire_time_us = 0;
  soci::indicator expire_indicator = soci::i_null;
};

}  // namespace stockalert::alert
