#include "services/common/grpc/resource_name.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"

namespace stockalert::rpc {
namespace {

constexpr char kMine[] = "00000000-0000-4000-8000-000000000001";
constexpr char kOther[] = "00000000-0000-4000-8000-000000000002";
constexpr char kAlert[] = "users/{user}/alerts/{alert}";

TEST_CASE("names are taken apart and put together") {
  const std::string name = std::string("users/") + kMine + "/alerts/" + kOther;
  CHECK(*ParseName(kAlert, name, "name") == std::vector<std::string>{kMine, kOther});
  CHECK(FormatName(kAlert, {kMine, kOther}) == name);
  CHECK(*ParseName("tickers/{symbol}", "tickers/BRK.B", "name") == std::vector<std::string>{"BRK.B"});
  CHECK((*ParseName("users/{user}/alerts/{alert}/triggers/{n}", name + "/triggers/12", "name"))[2] == "12");
  CHECK((*ParseName("users/{user}", "users/00000000-0000-4000-8000-00000000000A", "name"))[0] ==
        "00000000-0000-4000-8000-00000000000a");
}

TEST_CASE("text that is not a resource name is refused") {
  const std::string base = std::string("users/") + kMine;
  for (const std::string& name :
       {std::string(""), std::string("/"), base, base + "/", base + "/alerts", base + "/alerts/", base + "/alerts/x",
        base + "/alerts/me", base + "/Alerts/" + kOther, base + "/alerts/" + kOther + "/",
        "/" + base + "/alerts/" + kOther, base + "/alerts/" + std::string(kOther) + " ",
        std::string("users//alerts/") + kOther, std::string(10'000, '/'), std::string("users/me/alerts/\0", 17)}) {
    INFO(name.substr(0, 100));
    const absl::Status status = ParseName(kAlert, name, "name").status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(base::FindErrorDetails(status)->violations.at(0).field == "name");
  }
  for (const char* name : {"tickers/", "tickers/A B", "tickers/A/B", "tickers/\x01", "tickers/\xc3\xa4"})
    CHECK_FALSE(ParseName("tickers/{symbol}", name, "n").ok());
  for (const char* n : {"0", "01", "-1", "1x", "", "1234567890123456789"})
    CHECK_FALSE(ParseName("x/{n}", std::string("x/") + n, "n").ok());
}

TEST_CASE("a user reaches only what is its own, an administrator everything") {
  const Caller user{.user_id = kMine, .key_id = "k"};
  const Caller administrator{.user_id = "", .key_id = "a", .is_administrator = true};
  const std::string other = std::string("users/") + kOther;
  CHECK((*ParseOwnName(user, "users/{user}", "users/me", "name", "USER_NOT_FOUND"))[0] == kMine);
  CHECK((*ParseOwnName(user, "users/{user}", std::string("users/") + kMine, "name", "USER_NOT_FOUND"))[0] == kMine);
  const absl::Status status = ParseOwnName(user, "users/{user}", other, "name", "USER_NOT_FOUND").status();
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(base::ReasonOf(status) == "USER_NOT_FOUND");
  CHECK((*ParseOwnName(administrator, "users/{user}", other, "name", "USER_NOT_FOUND"))[0] == kOther);
  CHECK(ParseOwnName(administrator, "users/{user}", "users/me", "name", "USER_NOT_FOUND").status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(ParseOwnName(Caller{}, "users/{user}", "users/me", "name", "USER_NOT_FOUND").status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace stockalert::rpc
