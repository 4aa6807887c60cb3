#include "services/tools/client/transfer.h"

#include <catch2/catch.hpp>

#include <fstream>
#include <sstream>
#include <tuple>

#include "services/tools/client/usage.h"
#include "tests/unit/tools/client/fake_mesh.h"

namespace stockalert::client {
namespace {

using Record = std::vector<std::string>;

TEST_CASE("records of CSV") {
  std::istringstream in("a,b\r\n\"x, \"\"y\"\"\nz\",\n,\nlast");
  int64_t line = 0;
  CHECK(ReadCsvRecord(in, line)->value() == Record{"a", "b"});
  CHECK(line == 1);
  CHECK(ReadCsvRecord(in, line)->value() == Record{"x, \"y\"\nz", ""});
  CHECK(line == 3);
  CHECK(ReadCsvRecord(in, line)->value() == Record{"", ""});
  CHECK(ReadCsvRecord(in, line)->value() == Record{"last"});
  CHECK(line == 5);
  CHECK_FALSE(ReadCsvRecord(in, line)->has_value());
  for (const char* wrong : {"a\"b\n", "\"a\"b\n", "\"a", "\"a\"\"\n"}) {
    CAPTURE(wrong);
    std::istringstream wrong_in(wrong);
    int64_t wrong_line = 0;
    CHECK(IsWrongUsage(ReadCsvRecord(wrong_in, wrong_line).status()));
  }
  std::ostringstream out;
  WriteCsvRecord(out, {"a", "b,c", "d\"e", "f\ng", ""});
  CHECK(out.str() == "a,\"b,c\",\"d\"\"e\",\"f\ng\",\n");
}

absl::StatusOr<std::vector<ReadAlert>> All(const std::string& text, TransferFormat format) {
  std::istringstream in(text);
  AlertReader reader(in, format);
  std::vector<ReadAlert> all;
  for (;;) {
    auto next = reader.Next();
    if (!next.ok()) return next.status();
    if (!next->has_value()) return all;
    all.push_back(**std::move(next));
  }
}

TEST_CASE("what is exported is imported as the same alerts") {
  const std::string csv =
      "symbol,at_or_above,up,from,window,falls_from_high,activation,leaves,policy,cooldown,sessions,expires,note\n"
      "AAPL,200,,,,,,,,,,2027-01-02T03:04:05Z,\"sell, \"\"half\"\"\"\n"
      "MSFT,,5,previous_close,,,,,once_a_day,,extended,,\n"
      "MSFT,,2.5,,5m,,,,repeat,1h30m,,,\n"
      "TSLA,,,,,5%,180,,,,,,\n"
      "TSLA,,,,,,,140:160,,,,,\n";
  const auto alerts = All(csv, TransferFormat::kCsv);
  REQUIRE(alerts.ok());
  REQUIRE(alerts->size() == 5);
  CHECK((*alerts)[2].line == 4);
  for (const TransferFormat format : {TransferFormat::kCsv, TransferFormat::kJsonLines}) {
    std::ostringstream out;
    AlertWriter writer(out, format);
    for (const ReadAlert& one : *alerts) {
      alert_v1::Alert stored = one.alert;
      stored.set_name("users/1/alerts/1");
      stored.set_revision(7);
      stored.set_etag("e");
      writer.Write(stored);
    }
    const auto again = All(out.str(), format);
    CAPTURE(out.str());
    REQUIRE(again.ok());
    REQUIRE(again->size() == alerts->size());
    for (size_t i = 0; i < alerts->size(); ++i) {
      CHECK((*again)[i].alert.SerializeAsString() == (*alerts)[i].alert.SerializeAsString());
    }
  }
}

TEST_CASE("where notifications go is exported and imported") {
  const std::string csv =
      "symbol,up,destination,delivery,critical\n"
      "AAPL,5,d1 d2,,true\n"
      "AAPL,6,,none,\n"
      "AAPL,7,,,\n";
  const auto alerts = All(csv, TransferFormat::kCsv);
  REQUIRE(alerts.ok());
  REQUIRE(alerts->size() == 3);
  const alert_v1::Alert& named = (*alerts)[0].alert;
  CHECK(named.delivery() == alert_v1::Alert::DELIVERY_NAMED);
  CHECK(std::vector<std::string>(named.destinations().begin(), named.destinations().end()) ==
        std::vector<std::string>{"users/me/destinations/d1", "users/me/destinations/d2"});
  CHECK(named.critical());
  CHECK((*alerts)[1].alert.delivery() == alert_v1::Alert::DELIVERY_NONE);
  CHECK((*alerts)[2].alert.delivery() == alert_v1::Alert::DELIVERY_UNSPECIFIED);
  for (const TransferFormat format : {TransferFormat::kCsv, TransferFormat::kJsonLines}) {
    std::ostringstream out;
    AlertWriter writer(out, format);
    for (const ReadAlert& one : *alerts) writer.Write(one.alert);
    const auto again = All(out.str(), format);
    REQUIRE(again.ok());
    for (size_t i = 0; i < alerts->size(); ++i)
      CHECK((*again)[i].alert.SerializeAsString() == (*alerts)[i].alert.SerializeAsString());
  }
}

TEST_CASE("a file of a spreadsheet may begin with a byte order mark") {
  const auto alerts = All("\xef\xbb\xbfsymbol,up\r\nAAPL,5\r\n", TransferFormat::kCsv);
  REQUIRE(alerts.ok());
  CHECK(alerts->front().alert.symbol() == "AAPL");
}

TEST_CASE("what is wrong with a file is told with its line") {
  const std::vector<std::tuple<TransferFormat, const char*, const char*>> table = {
      {TransferFormat::kCsv, "", "line 1: "},
      {TransferFormat::kCsv, "symbol,colour\n", "line 1: there is no column \"colour\""},
      {TransferFormat::kCsv, "symbol,up,up\n", "line 1: there are two columns up"},
      {TransferFormat::kCsv, "symbol,up\nAAPL,5\nMSFT\n", "line 3: has 1 fields, not 2"},
      {TransferFormat::kCsv, "symbol,up\n\nAAPL,\n", "line 3: give a condition"},
      {TransferFormat::kCsv, "symbol,up,from\nAAPL,5,given\n", "line 2: --from given needs --given"},
      {TransferFormat::kCsv, "symbol,up,expires\nAAPL,5,+7d\n", "line 2: expires must be a time"},
      {TransferFormat::kCsv, "symbol,up\n,5\n", "line 2: names no symbol"},
      {TransferFormat::kCsv, "symbol,up,policy\nAAPL,5,onse\n", "line 2: --policy cannot be onse"},
      {TransferFormat::kCsv, "symbol,up,delivery\nAAPL,5,named\n", "line 2: delivery cannot be named"},
      {TransferFormat::kCsv, "symbol,up,critical\nAAPL,5,yes\n", "line 2: --critical cannot be yes"},
      {TransferFormat::kJsonLines, "{\"symbol\":\"AAPL\"}\n\n{\"colour\":1}\n", "line 3: is no alert in JSON"},
      {TransferFormat::kJsonLines, "{}\n", "line 1: names no symbol"},
  };
  for (const auto& [format, text, message] : table) {
    CAPTURE(text, message);
    const auto all = All(text, format);
    REQUIRE(IsWrongUsage(all.status()));
    CHECK(std::string(all.status().message()).find(message) == 0);
  }
}

TEST_CASE("an import goes a hundred at a time, and once however often it is begun") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  std::string csv = "symbol,at_or_above,note\n";
  for (int i = 1; i <= 250; ++i) csv += "AAPL," + std::to_string(i) + ",\n";
  csv += "AAPL,1,\n";  // Once more, and meant.
  const std::vector<std::string> args = {"alert", "import", "-", "--format", "csv"};
  // The last hundred is refused as a whole; those before are there.
  const Ran refused = home.Run(args, csv + "AAPL,5,refuse me\n");
  CHECK(refused.code == 5);
  CHECK(refused.err.find("line 253, note: must be kind") != std::string::npos);
  CHECK(refused.err.find("before line 202 are there (200)") != std::string::npos);
  CHECK(mesh.imported_count() == 200);
  CHECK(home.Run(args, csv).out == "imported 251\n");
  CHECK(mesh.batch_sizes() == std::vector<int>{100, 100, 100, 100, 51});
  CHECK(mesh.imported_count() == 251);
  CHECK(home.Run(args, csv).code == 0);
  CHECK(mesh.imported_count() == 251);
  CHECK(home.Run({"alert", "import", "-", "--format", "csv", "--name", "again"}, csv).code == 0);
  CHECK(mesh.imported_count() == 502);
  CHECK(home.Run({"alert", "import", "-"}, csv).code == 2);
  CHECK(home.Run({"alert", "import", home.path + "/none.csv"}).code == 2);
}

TEST_CASE("an export is a file that can be imported") {
  FakeMesh mesh;
  Home home;
  home.Use(mesh);
  const Ran csv = home.Run({"alert", "export"});
  CHECK(csv.code == 0);
  CHECK(std::count(csv.out.begin(), csv.out.end(), '\n') == 6);
  const std::string path = home.path + "/alerts.csv";
  std::ofstream(path) << csv.out;
  CHECK(home.Run({"alert", "import", path}).out == "imported 5\n");
  CHECK(mesh.imported_count() == 5);
  CHECK(std::count_if(csv.out.begin(), csv.out.end(), [](char c) { return c == '\x1b'; }) == 0);
  const Ran json = home.Run({"alert", "export", "--format", "json"});
  CHECK(json.out.find("{\"symbol\":\"AAPL\"") == 0);
}

}  // namespace
}  // namespace stockalert::client
