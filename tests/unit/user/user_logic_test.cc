#include "services/user/user_logic.h"

#include <catch2/catch.hpp>

#include "services/common/base/error.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/fake_tickers/fake_tickers.h"
#include "tests/support/user_store/in_memory_user_store.h"

namespace stockalert::user {
namespace {

constexpr char kAdministratorKey[] = "the administrator's key";

struct World {
  testing::FakeClock clock;
  testing::FakeIds ids;
  testing::InMemoryUserStore store;
  testing::FakeTickers tickers;
  testing::FakeMonotonicClock monotonic_clock;
  RegistrationLimit limit{1000, 100, monotonic_clock};
  UserLogic logic{store,
                  tickers,
                  limit,
                  ids,
                  clock,
                  UserRules{.live_keys_max = 3,
                            .dead_keys_max = 100,
                            .followed_max = 2,
                            .administrator_key_sha256 = base::Sha256(kAdministratorKey)}};

  Registered Register(const std::string& address = "ann@example.org", const std::string& request_id = "") {
    auto registered = logic.Register(*ParseEmail(address), "Ann", request_id, "", "ipv4:127.0.0.1:1");
    REQUIRE(registered.ok());
    return *registered;
  }
  absl::StatusOr<FollowedTicker> Follow(const std::string& id, const std::string& symbol) {
    return logic.Follow(id, symbol, trace::NewRoot(), absl::InfiniteFuture());
  }
};

std::string Reason(const absl::Status& status) { return base::ReasonOf(status); }

TEST_CASE("a registration gives a key that works, of which only the hash is kept") {
  World world;
  const Registered registered = world.Register();
  CHECK(registered.secret.size() == 47);
  CHECK(registered.secret.starts_with("sak_"));
  CHECK(registered.key.secret_prefix == registered.secret.substr(0, 8));
  CHECK(registered.key.secret_sha256 == base::Sha256(registered.secret));
  const auto identity = world.logic.Authenticate(registered.secret);
  REQUIRE(identity.ok());
  CHECK(identity->user_id == registered.user.id);
  CHECK(identity->key_id == registered.key.id);
  CHECK_FALSE(identity->is_administrator);
  CHECK_FALSE(identity->read_only);
}

TEST_CASE("a request sent again gives the user, never the key") {
  World world;
  const Registered first = world.Register("ann@example.org", "r1");
  const Registered again = world.Register("ANN@example.org", "r1");
  CHECK(again.user == first.user);
  CHECK(again.secret.empty());
}

TEST_CASE("registration tells nothing of other users") {
  World world;
  const Registered first = world.Register("ann@example.org", "r1");
  REQUIRE(world.logic.VerifyEmail(first.user.id, std::nullopt).ok());
  for (const char* request_id : {"", "r1"}) {
    const auto other = world.logic.Register(*ParseEmail("Ann@Example.org"), "Other", request_id, "", "p");
    REQUIRE(other.ok());
    CHECK(other->user.id != first.user.id);
    CHECK(other->secret.size() == first.secret.size());
    CHECK_FALSE(other->user.email_verify_time_us.has_value());
  }
}

TEST_CASE("who may register is the operator's choice") {
  World world;
  const auto rules = [](Registration registration) {
    return UserRules{.registration = registration, .administrator_key_sha256 = ""};
  };
  const auto register_with = [&](UserLogic& logic, const std::string& code) {
    return Reason(logic.Register(*ParseEmail("ann@example.org"), "Ann", "", code, "p").status());
  };
  UserLogic closed(world.store, world.tickers, world.limit, world.ids, world.clock, rules(Registration::kClosed));
  UserLogic invited(world.store, world.tickers, world.limit, world.ids, world.clock,
                    rules(Registration::kByInvitation));
  const auto invitation = invited.CreateInvitation("for Ann", std::nullopt);
  REQUIRE(invitation.ok());
  CHECK(invitation->expire_time_us == world.clock.NowUs() + int64_t{7} * 86'400 * 1'000'000);
  CHECK(register_with(closed, invitation->code) == "REGISTRATION_CLOSED");
  CHECK(register_with(invited, "") == "INVITATION_REQUIRED");
  CHECK(register_with(invited, invitation->code + "x") == "INVITATION_INVALID");
  CHECK(register_with(invited, invitation->code).empty());
  CHECK(register_with(invited, invitation->code) == "INVITATION_INVALID");
  // Where everybody may, a code does not matter.
  CHECK(register_with(world.logic, "nonsense").empty());
  for (const int64_t expire_us :
       {world.clock.NowUs(), int64_t{0}, world.clock.NowUs() + int64_t{91} * 86'400 * 1'000'000}) {
    CHECK(invited.CreateInvitation("", expire_us).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("an address is verified by the code that was mailed, as people type it") {
  World world;
  const Registered ann = world.Register();
  const auto expires = world.logic.SendEmailVerification(ann.user.id, trace::NewRoot());
  REQUIRE(expires.ok());
  CHECK(*expires == world.clock.NowUs() + int64_t{86'400} * 1'000'000);
  const std::string code = world.store.ReadUntoldEmailCodes(1)->at(0).code.code;
  CHECK(code.size() == 10);
  CHECK(Reason(world.logic.SendEmailVerification(ann.user.id, trace::NewRoot()).status()) == "EMAIL_VERIFICATION_RATE");
  CHECK(Reason(world.logic.VerifyEmail(ann.user.id, "").status()) == "EMAIL_CODE_INVALID");
  std::string typed = code.substr(0, 5) + "-" + code.substr(5) + " ";
  for (char& c : typed) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto verified = world.logic.VerifyEmail(ann.user.id, typed);
  REQUIRE(verified.ok());
  CHECK(verified->email_verify_time_us == world.clock.NowUs());
  // Another spelling stays verified, another address does not.
  const UserCheck no_check = [](const User&) { return absl::OkStatus(); };
  CHECK(world.logic.UpdateUser(ann.user.id, UserChange{*ParseEmail("ANN@example.org"), {}}, no_check)
            ->email_verify_time_us.has_value());
  CHECK_FALSE(world.logic.UpdateUser(ann.user.id, UserChange{*ParseEmail("anna@example.org"), {}}, no_check)
                  ->email_verify_time_us.has_value());
}

TEST_CASE("wrong, expired and revoked keys prove nothing") {
  World world;
  const Registered registered = world.Register();
  const auto expiring =
      world.logic.CreateApiKey(registered.user.id, NewKey{"short", true, world.clock.NowUs() + 10}, "");
  REQUIRE(expiring.ok());
  CHECK(world.logic.Authenticate(expiring->secret)->read_only);
  CHECK(world.logic.Authenticate(expiring->secret)->expire_time_us == world.clock.NowUs() + 10);
  world.clock.Advance(absl::Microseconds(9));
  CHECK(world.logic.Authenticate(expiring->secret).ok());
  world.clock.Advance(absl::Microseconds(1));
  CHECK(world.logic.Authenticate(expiring->secret).status().code() == absl::StatusCode::kUnauthenticated);
  REQUIRE(world.logic.RevokeApiKey(registered.user.id, registered.key.id).ok());
  std::string changed = registered.secret;
  changed.back() = changed.back() == 'A' ? 'B' : 'A';
  for (const std::string& secret :
       {registered.secret, changed, std::string(), std::string("sak_"), registered.secret + "x", std::string(1000, 'x'),
        std::string("sak_\0", 5), std::string(kAdministratorKey) + "x"}) {
    CHECK(Reason(world.logic.Authenticate(secret).status()) == "API_KEY_INVALID");
  }
}

TEST_CASE("a database that is down is not a wrong key") {
  World world;
  const Registered registered = world.Register();
  world.store.SetDown(true);
  CHECK(world.logic.Authenticate(registered.secret).status().code() == absl::StatusCode::kUnavailable);
  CHECK(world.logic.Authenticate("nonsense").status().code() == absl::StatusCode::kUnauthenticated);
}

TEST_CASE("the administrator has a key, and no user") {
  World world;
  const auto identity = world.logic.Authenticate(kAdministratorKey);
  REQUIRE(identity.ok());
  CHECK(identity->is_administrator);
  CHECK(identity->user_id.empty());
  UserLogic without(world.store, world.tickers, world.limit, world.ids, world.clock,
                    UserRules{.administrator_key_sha256 = ""});
  CHECK_FALSE(without.Authenticate(kAdministratorKey).ok());
  CHECK_FALSE(without.Authenticate("").ok());
}

TEST_CASE("keys must expire in the future, if at all, and are few") {
  World world;
  const Registered registered = world.Register();
  for (const int64_t expire_us : {world.clock.NowUs(), world.clock.NowUs() - 1, int64_t{0}}) {
    CHECK(world.logic.CreateApiKey(registered.user.id, NewKey{"k", false, expire_us}, "").status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
  CHECK(world.logic.CreateApiKey(registered.user.id, NewKey{}, "a").ok());
  const auto third = world.logic.CreateApiKey(registered.user.id, NewKey{}, "b");
  REQUIRE(third.ok());
  CHECK(Reason(world.logic.CreateApiKey(registered.user.id, NewKey{}, "c").status()) == "API_KEY_QUOTA");
  const auto again = world.logic.CreateApiKey(registered.user.id, NewKey{}, "b");
  REQUIRE(again.ok());
  CHECK(again->key == third->key);
  CHECK(again->secret.empty());
  CHECK(Reason(world.logic.CreateApiKey(registered.user.id, NewKey{"other", false, {}}, "b").status()) ==
        "REQUEST_ID_REUSED");
}

TEST_CASE("an update changes what it names, and nothing when it names what is") {
  World world;
  const Registered registered = world.Register();
  const UserCheck no_check = [](const User&) { return absl::OkStatus(); };
  world.clock.Advance(absl::Seconds(1));
  const auto same =
      world.logic.UpdateUser(registered.user.id, UserChange{*ParseEmail("ann@example.org"), "Ann"}, no_check);
  CHECK(*same == registered.user);
  const auto changed = world.logic.UpdateUser(registered.user.id, UserChange{std::nullopt, "Anna"}, no_check);
  CHECK(changed->display_name == "Anna");
  CHECK(changed->version == 2);
  CHECK(changed->update_time_us == registered.user.update_time_us + 1'000'000);
  CHECK(changed->email == registered.user.email);
  world.Register("bob@example.org");
  CHECK(world.logic.UpdateUser(registered.user.id, UserChange{*ParseEmail("BOB@example.org"), {}}, no_check)->email ==
        "BOB@example.org");
  CHECK(world.logic.UpdateUser(registered.user.id, UserChange{*ParseEmail("ANN@example.org"), {}}, no_check)->email ==
        "ANN@example.org");
  CHECK(
      Reason(world.logic
                 .UpdateUser(registered.user.id, UserChange{{}, "X"}, [](const User&) { return base::EtagMismatch(); })
                 .status()) == "ETAG_MISMATCH");
}

TEST_CASE("a ticker is followed only where it could be registered") {
  World world;
  const std::string id = world.Register().user.id;
  world.tickers.Answer(base::Unavailable("TICKER_SERVICE_UNAVAILABLE", "down"));
  CHECK(Reason(world.Follow(id, "aapl").status()) == "TICKER_SERVICE_UNAVAILABLE");
  world.tickers.Answer(base::InvalidField("symbol", "no such symbol", "UNKNOWN_SYMBOL"));
  CHECK(Reason(world.Follow(id, "aapl").status()) == "UNKNOWN_SYMBOL");
  CHECK(world.logic.ListFollowed(id, "", 10)->empty());
  world.tickers.Answer(absl::OkStatus());
  CHECK(world.Follow(id, " aapl ")->symbol == "AAPL");
  CHECK(world.tickers.registered() == std::vector<std::string>{"AAPL"});
  for (const char* symbol : {"", " ", "A B", ".A", "Ä", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}) {
    CHECK(world.Follow(id, symbol).status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(Reason(world.Follow(testing::FakeIds::Uuid(999), "MSFT").status()) == "USER_NOT_FOUND");
  CHECK(world.tickers.registered().size() == 1);
}

TEST_CASE("who follows enough follows no more, and registers no more") {
  World world;
  const std::string id = world.Register().user.id;
  REQUIRE(world.Follow(id, "AAPL").ok());
  REQUIRE(world.Follow(id, "MSFT").ok());
  CHECK(Reason(world.Follow(id, "IBM").status()) == "FOLLOW_QUOTA");
  CHECK(world.tickers.registered().size() == 2);
  CHECK(world.Follow(id, "msft")->symbol == "MSFT");
  CHECK(world.logic.Unfollow(id, "msft").ok());
  CHECK(Reason(world.logic.Unfollow(id, "msft")) == "FOLLOWED_TICKER_NOT_FOUND");
  CHECK(Reason(world.logic.Unfollow(id, "!!!")) == "FOLLOWED_TICKER_NOT_FOUND");
  CHECK(world.Follow(id, "IBM").ok());
}

}  // namespace
}  // namespace stockalert::user
