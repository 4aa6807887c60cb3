// Which service may call which method inside the mesh: a row for each method of the internal ports. A method without a
// row is refused for every caller.
//
// The table "Who may talk to whom" in docs/architecture.md says the same by service; a test compares the two with the
// protos. Pure and constant; thread-safe.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace stockalert::rpc {

struct Flow {
  std::string_view method;                // "stockalert.internal.v1.UserInternalService/GetUser"
  std::vector<std::string_view> callers;  // Services' names, as in Services().
};

std::span<const Flow> FlowTable();

// The services of the mesh by name: user, ticker, alert, notifier, fetcher, evaluator.
std::span<const std::string_view> Services();
bool IsService(std::string_view name);

// Null: there is no such method.
const Flow* FindFlow(std::string_view method);
bool MayCall(std::string_view caller, std::string_view method);

}  // namespace stockalert::rpc
