#include "services/common/grpc/mesh_callers.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "tests/support/certificates/certificates.h"

namespace stockalert::rpc {
namespace {

constexpr char kGetUser[] = "stockalert.internal.v1.UserInternalService/GetUser";  // The alert service's alone.

std::string Hash(const std::string& token) { return base::HexEncode(base::Sha256(token)); }

// A file that is gone with its owner, and changes visibly whenever it is written.
class File {
 public:
  File()
      : path_(std::filesystem::temp_directory_path() /
              ("callers-" + std::to_string(getpid()) + "-" + std::to_string(++count_))) {}
  ~File() { std::filesystem::remove(path_); }
  void Write(const std::string& text) {
    std::ofstream(path_) << text;
    std::filesystem::last_write_time(path_,
                                     std::filesystem::file_time_type::clock::now() + std::chrono::seconds(++version_));
  }
  std::string path() const { return path_.string(); }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
  int version_ = 0;
};

MeshCallers::Shown Certificate(std::vector<std::string> names) {
  return {
      .mesh_token = "the shared token of all", .caller_token = "", .by_certificate = true, .names = std::move(names)};
}

TEST_CASE("a certificate names one service, or nobody") {
  MeshCallers callers(
      {.caller_token = "", .callers_file = "", .names = "alert=mesh-alert.example, ticker=spiffe://mesh/ticker"},
      "the shared token of all");
  CHECK(callers.Admit(Certificate({"localhost", "mesh-alert.example"}), kGetUser).value() == "alert");
  CHECK(
      callers.Admit(Certificate({"spiffe://mesh/ticker"}), "stockalert.internal.v1.UserInternalService/CountFollowers")
          .value() == "ticker");
  CHECK(callers.Admit(Certificate({"user"}), "stockalert.internal.v1.TickerInternalService/RegisterTicker").value() ==
        "user");
  const std::pair<std::vector<std::string>, std::string> refused[] = {
      {{}, "CERTIFICATE_NAMELESS"},
      {{"localhost"}, "CERTIFICATE_NAMELESS"},
      {{"alert"}, "CERTIFICATE_NAMELESS"},  // Its name is another one here.
      {{"mesh-alert.example", "user"}, "CERTIFICATE_SHARED"},
      {{"spiffe://mesh/ticker"}, "CALLER_NOT_ALLOWED"},
      {{"evaluator"}, "CALLER_NOT_ALLOWED"},
  };
  for (const auto& [names, reason] : refused) {
    const auto answer = callers.Admit(Certificate(names), kGetUser);
    INFO(reason);
    CHECK(base::ReasonOf(answer.status()) == reason);
  }
  MeshCallers::Shown no_token = Certificate({"mesh-alert.example"});
  no_token.mesh_token = "another";
  CHECK(base::ReasonOf(callers.Admit(no_token, kGetUser).status()) == "MESH_TOKEN_INVALID");
  CHECK(base::ReasonOf(
            callers.Admit(Certificate({"mesh-alert.example"}), "stockalert.internal.v1.UserInternalService/Other")
                .status()) == "CALLER_NOT_ALLOWED");
}

TEST_CASE("without TLS the caller's own token tells who it is") {
  File file;
  file.Write("# comment\nalert " + Hash("token of the alert service") + "\nticker\t" + Hash("token of the ticker") +
             "\r\n\n");
  const MeshSettings settings{.caller_token = "", .callers_file = file.path(), .names = ""};
  MeshCallers callers(settings, "");
  const auto shows = [](const std::string& token, const std::string& shared = "") {
    return MeshCallers::Shown{.mesh_token = shared, .caller_token = token, .by_certificate = false, .names = {}};
  };
  CHECK(callers.Admit(shows("token of the alert service"), kGetUser).value() == "alert");
  CHECK(base::ReasonOf(callers.Admit(shows("token of the ticker"), kGetUser).status()) == "CALLER_NOT_ALLOWED");
  CHECK(base::ReasonOf(callers.Admit(shows("anything"), kGetUser).status()) == "CALLER_TOKEN_INVALID");
  // The hash that is known here is no token.
  CHECK(base::ReasonOf(callers.Admit(shows(Hash("token of the alert service")), kGetUser).status()) ==
        "CALLER_TOKEN_INVALID");
  CHECK(base::ReasonOf(callers.Admit(shows(""), kGetUser).status()) == "MESH_TOKEN_INVALID");
  CHECK(base::ReasonOf(callers.Admit(shows("", "the shared token of all"), kGetUser).status()) == "MESH_TOKEN_INVALID");
  // A certificate and a token of different callers.
  MeshCallers::Shown both = shows("token of the alert service");
  both.by_certificate = true;
  both.names = {"ticker"};
  CHECK(base::ReasonOf(callers.Admit(both, kGetUser).status()) == "CALLER_TOKEN_INVALID");
  both.names = {"alert"};
  CHECK(callers.Admit(both, kGetUser).value() == "alert");

  // The token of the version before is taken while it is configured, of a caller without a name.
  MeshCallers upgrading(settings, "the shared token of all");
  CHECK(upgrading.Admit(shows("", "the shared token of all"), kGetUser).value().empty());
  CHECK(upgrading.Admit(shows("token of the alert service", "the shared token of all"), kGetUser).value() == "alert");
  CHECK(base::ReasonOf(upgrading.Admit(shows("token of the ticker", "the shared token of all"), kGetUser).status()) ==
        "CALLER_NOT_ALLOWED");
  CHECK(base::ReasonOf(upgrading.Admit(shows("", "the shared token of all"), "stockalert.internal.v1.X/Y").status()) ==
        "CALLER_NOT_ALLOWED");
}

TEST_CASE("a caller's token is exchanged without a gap, and an unfit file changes nothing") {
  File file;
  file.Write("alert " + Hash("the first token of alert") + "\n");
  MeshCallers callers({.caller_token = "", .callers_file = file.path(), .names = ""}, "");
  const auto taken = [&callers](const std::string& token) {
    return callers.Admit({.mesh_token = "", .caller_token = token, .by_certificate = false, .names = {}}, kGetUser)
        .ok();
  };
  const auto within = [](const std::function<bool()>& so) {
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
         std::chrono::steady_clock::now() < end;) {
      if (so()) return true;
      usleep(20'000);
    }
    return false;
  };
  REQUIRE(taken("the first token of alert"));
  file.Write("alert " + Hash("the first token of alert") + "\nalert " + Hash("the second token of alert") + "\n");
  REQUIRE(within([&] { return taken("the second token of alert"); }));
  CHECK(taken("the first token of alert"));
  file.Write("nonsense\n");
  usleep(1'200'000);  // Long enough to be looked at.
  CHECK(taken("the second token of alert"));
  file.Write("alert " + Hash("the second token of alert") + "\n");
  CHECK(within([&] { return !taken("the first token of alert"); }));
  CHECK(taken("the second token of alert"));
}

TEST_CASE("malformed and contradictory tables of names and callers are refused") {
  const std::string hash = Hash("some token");
  for (const std::string& text :
       {std::string(), std::string("# nothing"), "stranger " + hash, "alert " + hash.substr(1),
        "alert " + hash + " more", std::string("alert"), "alert " + hash + "\nticker " + hash,
        "alert " + hash.substr(1) + "g", "alert " + hash + "\nalert " + Hash("2") + "\nalert " + Hash("3")}) {
    INFO(text);
    CHECK(absl::IsInvalidArgument(ParseMeshCallers(text).status()));
  }
  for (const std::string& text : {std::string("stranger=x"), std::string("alert"), std::string("alert="),
                                  std::string("alert=x,ticker=x"), std::string("alert=ticker")}) {
    INFO(text);
    CHECK(absl::IsInvalidArgument(ParseMeshNames(text).status()));
  }
  CHECK(ParseMeshNames("alert=ticker,ticker=alert").ok());
  CHECK(ParseMeshNames("alert=a,alert=b").value().size() == 7);  // Two names while they are exchanged.
}

TEST_CASE("a service does not start with a certificate that is not its own alone, or without a token") {
  const testing::Authority authority("mesh");
  testing::Wanted wanted;
  const auto errors = [&](std::vector<std::string> names, std::vector<std::string> arguments,
                          bool shared_token = true) {
    wanted.dns_names = std::move(names);
    const testing::Identity identity = authority.Issue(wanted);
    const testing::SwappedFolder folder({{"tls.crt", identity.certificate}});
    MeshSettings settings;
    std::string mesh_token;
    tls::Settings tls;
    tls.internal_cert_file = folder.Path("tls.crt");
    config::Parser parser("test", "", "");
    DeclareMesh(parser, "alert", true, settings, mesh_token, tls);
    arguments.insert(arguments.begin(), "test");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return parser
        .Parse(static_cast<int>(argv.size()), argv.data(),
               [shared_token](const std::string& name) -> std::optional<std::string> {
                 return shared_token && name == "STOCKALERT_MESH_TOKEN"
                            ? std::optional<std::string>("the shared token of all")
                            : std::nullopt;
               })
        .errors;
  };
  CHECK(errors({"localhost", "alert"}, {}).empty());
  CHECK(errors({"localhost", "a.example"}, {"--mesh_names=alert=a.example"}).empty());
  CHECK(errors({"localhost"}, {}).size() == 1);
  CHECK(errors({"ticker"}, {}).size() == 1);
  const auto shared = errors({"user", "ticker", "alert", "fetcher"}, {});
  REQUIRE(shared.size() == 1);
  CHECK(shared[0].find("a certificate a service") != std::string::npos);
  CHECK(errors({"alert"}, {"--mesh_names=ticker=alert"}).size() == 1);
  CHECK(errors({"alert"}, {}, false).size() == 2);  // No token, and nobody could call.
  CHECK(errors({"alert"}, {"--mesh_callers_file=/nonexistent"}).size() == 1);
}

}  // namespace
}  // namespace stockalert::rpc
