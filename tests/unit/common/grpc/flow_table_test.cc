// The flow table against the protos and against the architecture's own table: neither may say what the other does not.
#include "services/common/grpc/flow_table.h"

#include <google/protobuf/descriptor.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "stockalert/internal/v1/alert_internal.pb.h"
#include "stockalert/internal/v1/evaluator_internal.pb.h"
#include "stockalert/internal/v1/fetcher.pb.h"
#include "stockalert/internal/v1/notifier_internal.pb.h"
#include "stockalert/internal/v1/ticker_internal.pb.h"
#include "stockalert/internal/v1/user_internal.pb.h"

namespace stockalert::rpc {
namespace {

// Whose internal port a method is on.
std::string OwnerOf(std::string_view method) {
  static const std::map<std::string, std::string, std::less<>> kOwners = {
      {"UserInternalService", "user"},           {"TickerInternalService", "ticker"},
      {"AlertInternalService", "alert"},         {"NotifierInternalService", "notifier"},
      {"EvaluatorInternalService", "evaluator"}, {"FetcherService", "fetcher"}};
  const size_t slash = method.find('/');
  const size_t dot = method.rfind('.', slash);
  const auto found = kOwners.find(method.substr(dot + 1, slash - dot - 1));
  return found == kOwners.end() ? "a service that this test does not know: " + std::string(method) : found->second;
}

TEST_CASE("every internal method has a row, and every row a method") {
  std::set<std::string> methods;
  for (const google::protobuf::FileDescriptor* file :
       {internal::v1::CountAlertsRequest::descriptor()->file(), internal::v1::LookupSymbolRequest::descriptor()->file(),
        internal::v1::ListSymbolsRequest::descriptor()->file(),
        internal::v1::FindDestinationsRequest::descriptor()->file(),
        internal::v1::ExplainAlertRequest::descriptor()->file(),
        internal::v1::CountFollowersRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.insert(file->service(s)->full_name() + "/" + file->service(s)->method(m)->name());
      }
    }
  }
  std::set<std::string> rows;
  for (const Flow& flow : FlowTable()) {
    INFO(std::string(flow.method));
    CHECK(rows.insert(std::string(flow.method)).second);
    CHECK_FALSE(flow.callers.empty());
    for (const std::string_view caller : flow.callers) {
      CHECK(IsService(caller));
      CHECK(caller != OwnerOf(flow.method));
    }
  }
  CHECK(rows == methods);
}

TEST_CASE("an internal service whose proto is new is known here") {
  // A .proto with a service that the test above does not list would be guarded by nobody.
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(STOCKALERT_SOURCE_DIR "/proto/stockalert/internal/v1")) {
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("service ")) files.insert(entry.path().filename().string());
    }
  }
  CHECK(files == std::set<std::string>{"alert_internal.proto", "evaluator_internal.proto", "fetcher.proto",
                                       "notifier_internal.proto", "ticker_internal.proto", "user_internal.proto"});
}

TEST_CASE("docs/architecture.md says who may call whom as the table does") {
  std::ifstream in(STOCKALERT_SOURCE_DIR "/docs/architecture.md");
  REQUIRE(in.is_open());
  std::set<std::pair<std::string, std::string>> documented;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("## ")) inside = line == "## Who may talk to whom";
    if (!inside || !line.starts_with("| ")) continue;
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    REQUIRE(cells.size() >= 4);
    const auto names = [](const std::string& cell) {
      std::vector<std::string> found =
          absl::StrSplit(absl::StrReplaceAll(cell, {{" and ", ","}, {" ", ""}}), ',', absl::SkipEmpty());
      return found;
    };
    std::vector<std::string> to = names(cells[2]);
    if (to.empty() || to.back() != "internal") continue;
    to.pop_back();
    for (const std::string& caller : names(cells[1])) {
      for (const std::string& called : to) documented.insert({caller, called});
    }
  }
  std::set<std::pair<std::string, std::string>> enforced;
  for (const Flow& flow : FlowTable()) {
    for (const std::string_view caller : flow.callers) enforced.insert({std::string(caller), OwnerOf(flow.method)});
  }
  CHECK(documented == enforced);
}

TEST_CASE("who is not in a row may not call, and what has no row is refused to all") {
  CHECK(MayCall("alert", "stockalert.internal.v1.UserInternalService/GetUser"));
  CHECK_FALSE(MayCall("ticker", "stockalert.internal.v1.UserInternalService/GetUser"));
  CHECK_FALSE(MayCall("", "stockalert.internal.v1.UserInternalService/GetUser"));
  for (const std::string_view service : Services()) {
    CHECK_FALSE(MayCall(service, "stockalert.internal.v1.UserInternalService/NewAndForgotten"));
  }
}

}  // namespace
}  // namespace stockalert::rpc
