// What the commands of one run share: the terminal, the connection, and how a command is declared.
//
// A command is declared with its flags and an action; the command line that is parsed chooses one action, which is then
// run. Not thread-safe.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/tools/client/client.h"
#include "services/tools/client/connection.h"
#include "services/tools/client/terminal.h"

namespace stockalert::client {

// The caller's own resource.
inline constexpr char kOwn[] = "users/me";

using Users = user::v1::UserService::StubInterface;
using Tickers = ticker::v1::TickerService::StubInterface;
using Alerts = alert::v1::AlertService::StubInterface;
using Notifications = notification::v1::NotificationService::StubInterface;
using Destinations = notification::v1::DestinationService::StubInterface;

struct CommandContext {
  using Action = std::function<absl::Status()>;

  explicit CommandContext(const Surroundings& where) : surroundings(where), terminal{where.out, where.err} {}

  // A command that only holds others.
  CLI::App& Group(CLI::App& parent, const std::string& name, const std::string& description);
  // `flags`: from the fields of its requests to its flags and arguments.
  CLI::App& Command(CLI::App& parent, const std::string& name, const std::string& description, Action act,
                    const std::map<std::string, std::string>& flags = {});

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(::grpc::Status (Stub::*method)(::grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    return connection->Call(method, request);
  }
  // The items of the list that `request` asks for, page by page, until there are `limit` (0: all).
  template <typename Item, typename Method, typename Request, typename Response>
  absl::StatusOr<std::vector<Item>> List(Method method, Request request, int64_t limit,
                                         google::protobuf::RepeatedPtrField<Item>* (Response::*items)(),
                                         bool tells_of_more = true);

  // A line for people: scripts that read JSON do not want it.
  void Notice(const std::string& text) const;
  // The objects as lines of JSON, or the table, or, where that is empty, `none`.
  template <typename Item>
  void PrintList(const std::vector<Item>& items, const Table& table, const std::string& none) const;

  const Surroundings& surroundings;
  Terminal terminal;
  // The settings that flags gave, by their names in the settings file.
  std::map<std::string, std::string> given;
  // There when an action runs.
  std::unique_ptr<MeshConnection> connection;
  base::SystemIdSource ids;
  // That of the command that was chosen.
  Action action;
  // What the fields of its requests are called on the command line.
  FlagOfField flag_of;
};

// --limit of a list.
void DeclareLimit(CLI::App& command, int64_t& limit);
// --count of a watch.
void DeclareCount(CLI::App& command, int64_t& count);

template <typename Item, typename Method, typename Request, typename Response>
absl::StatusOr<std::vector<Item>> CommandContext::List(Method method, Request request, int64_t limit,
                                                       google::protobuf::RepeatedPtrField<Item>* (Response::*items)(),
                                                       bool tells_of_more) {
  constexpr int64_t kPageMax = 1000;
  std::vector<Item> all;
  // A page must be asked for as the first was.
  request.set_page_size(static_cast<int>(limit == 0 ? kPageMax : std::min(limit, kPageMax)));
  for (;;) {
    STOCKALERT_ASSIGN_OR_RETURN(Response page, connection->Call(method, request));
    for (Item& item : *(page.*items)()) all.push_back(std::move(item));
    if (page.next_page_token().empty()) return all;
    if (limit > 0 && static_cast<int64_t>(all.size()) >= limit) {
      if (tells_of_more) terminal.Warn("there are more: --limit 0 shows all");
      return all;
    }
    request.set_page_token(page.next_page_token());
  }
}

template <typename Item>
void CommandContext::PrintList(const std::vector<Item>& items, const Table& table, const std::string& none) const {
  if (terminal.json) {
    for (const Item& item : items) terminal.PrintJson(item);
  } else if (table.empty()) {
    Notice(none);
  } else {
    table.Print(terminal);
  }
}

}  // namespace stockalert::client
