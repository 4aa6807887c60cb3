// What a UserStore promises, held against the in-memory store and, where STOCKALERT_TEST_POSTGRES names a server,
// against Postgres. Each case has users, addresses and symbols of its own, so that the cases (and other programs) share
// one database.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <thread>

#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/postgres/migration.h"
#include "services/user/postgres_user_store.h"
#include "tests/support/user_store/in_memory_user_store.h"

namespace stockalert::user {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;
const KeyLimits kLimits{.now_us = kNow, .live_max = 20, .dead_max = 100};

postgres::Pool* TestPool() {
  static const std::unique_ptr<postgres::Pool> pool = []() -> std::unique_ptr<postgres::Pool> {
    const char* url = std::getenv("STOCKALERT_TEST_POSTGRES");
    if (url == nullptr || *url == '\0') {
      std::cerr << "STOCKALERT_TEST_POSTGRES is not set: only the in-memory store is held to the contract\n";
      return nullptr;
    }
    postgres::PoolOptions options;
    options.url = url;
    options.application_name = "user_store_contract";
    options.connections_max = 12;
    auto made = postgres::Pool::Create(options);
    if (!made.ok()) throw std::runtime_error(made.status().ToString());
    const auto migrations = postgres::ReadMigrations(std::string(STOCKALERT_SOURCE_DIR) + "/services/user/schema");
    if (!migrations.ok()) throw std::runtime_error(migrations.status().ToString());
    const auto applied = postgres::ApplyMigrations(**made, "stockalert_user", *migrations);
    if (!applied.ok()) throw std::runtime_error(applied.status().ToString());
    return *std::move(made);
  }();
  return pool.get();
}

void ForEachStore(const std::function<void(UserStore&)>& test) {
  SECTION("in memory") {
    testing::InMemoryUserStore store;
    test(store);
  }
  SECTION("postgres") {
    if (postgres::Pool* pool = TestPool()) {
      PostgresUserStore store(*pool);
      test(store);
    }
  }
}

std::string NewId() {
  static base::SystemIdSource ids;
  return ids.NewUuid();
}

User NewUser(int64_t create_time_us = kNow) {
  User user;
  user.id = NewId();
  user.email = "Ann." + user.id.substr(0, 8) + "@Example.org";
  user.email_key = "ann." + user.id.substr(0, 8) + "@example.org";
  user.display_name = "Änn \"quoted\" {braces} \\ 😀";
  user.create_time_us = create_time_us;
  user.update_time_us = create_time_us;
  return user;
}

ApiKey NewKey(const std::string& user_id, int64_t create_time_us = kNow) {
  ApiKey key;
  key.id = NewId();
  key.user_id = user_id;
  key.display_name = "key's name";
  key.secret_prefix = "sak_abcd";
  key.secret_sha256 = base::Sha256(key.id);
  key.create_time_us = create_time_us;
  return key;
}

RequestTag Tag(const std::string& id, const std::string& content) { return {id, base::Sha256(content)}; }

CreatedUser MustCreate(UserStore& store, int64_t create_time_us = kNow) {
  const User user = NewUser(create_time_us);
  auto created = store.CreateUser(user, NewKey(user.id, create_time_us), RequestTag{}, std::nullopt);
  REQUIRE(created.ok());
  return *created;
}

std::function<absl::Status(const User&)> NoCheck() {
  return [](const User&) { return absl::OkStatus(); };
}

std::string Reason(const absl::Status& status) { return base::ReasonOf(status); }

TEST_CASE("a user is read as it was stored, with its key") {
  ForEachStore([](UserStore& store) {
    const User user = NewUser();
    ApiKey key = NewKey(user.id);
    key.read_only = true;
    key.expire_time_us = kNow + 1;
    const auto created = store.CreateUser(user, key, RequestTag{}, std::nullopt);
    REQUIRE(created.ok());
    CHECK_FALSE(created->repeated);
    CHECK(*store.GetUser(user.id) == user);
    CHECK(**store.FindApiKey(key.secret_sha256) == key);
    CHECK(*store.ListApiKeys(user.id, std::nullopt, 10) == std::vector<ApiKey>{key});
    CHECK_FALSE(store.FindApiKey(base::Sha256("other"))->has_value());
    CHECK(Reason(store.GetUser(NewId()).status()) == "USER_NOT_FOUND");
    CHECK(Reason(store.ListApiKeys(NewId(), std::nullopt, 10).status()) == "USER_NOT_FOUND");
  });
}

// A further user with the address of `first`.
CreatedUser MustCreateWithAddressOf(UserStore& store, const User& first) {
  User second = NewUser();
  second.email = "ANN@EXAMPLE.ORG";
  second.email_key = first.email_key;
  auto created = store.CreateUser(second, NewKey(second.id), RequestTag{}, std::nullopt);
  INFO(created.status().ToString());
  REQUIRE(created.ok());
  return *created;
}

TEST_CASE("an address stands with many users, and is verified for one") {
  ForEachStore([](UserStore& store) {
    const CreatedUser first = MustCreate(store);
    const CreatedUser second = MustCreateWithAddressOf(store, first.user);
    CHECK_FALSE(first.user.email_verify_time_us.has_value());
    const auto verified = store.VerifyEmail(second.user.id, std::nullopt, kNow + 5, 3);
    REQUIRE(verified.ok());
    CHECK(verified->email_verify_time_us == kNow + 5);
    CHECK(verified->update_time_us == kNow + 5);
    CHECK(verified->version == second.user.version + 1);
    CHECK(*store.GetUser(second.user.id) == *verified);
    CHECK(*store.VerifyEmail(second.user.id, std::nullopt, kNow + 9, 3) == *verified);
    CHECK(Reason(store.VerifyEmail(first.user.id, std::nullopt, kNow + 6, 3).status()) == "EMAIL_TAKEN");
    CHECK(*store.GetUser(first.user.id) == first.user);
    // Neither registration nor a change tells of it, and neither makes anything verified.
    MustCreateWithAddressOf(store, first.user);
    const CreatedUser other = MustCreate(store);
    const auto changed = store.ChangeUser(other.user.id, [&](User& user) {
      user.email_key = first.user.email_key;
      return absl::OkStatus();
    });
    REQUIRE(changed.ok());
    CHECK_FALSE(store.GetUser(other.user.id)->email_verify_time_us.has_value());
    // Whoever had it gives it up: the next one may prove it.
    REQUIRE(store.DeleteUser(second.user.id, kNow, "", NoCheck()).ok());
    CHECK(store.VerifyEmail(first.user.id, std::nullopt, kNow + 7, 3).ok());
    CHECK(Reason(store.VerifyEmail(NewId(), std::nullopt, kNow, 3).status()) == "USER_NOT_FOUND");
  });
}

EmailCode NewCode(const std::string& code, int64_t now_us, int64_t life_us = 1000) {
  return {.code = code,
          .code_sha256 = base::Sha256(code),
          .traceparent = "00-t",
          .create_time_us = now_us,
          .expire_time_us = now_us + life_us};
}

constexpr EmailCodeLimits kCodeLimits{.pause_us = 10, .day_max = 3};

// Whether a code of this user waits to be told, and which.
std::optional<UntoldEmailCode> Untold(UserStore& store, const std::string& user_id) {
  const absl::StatusOr<std::vector<UntoldEmailCode>> codes = store.ReadUntoldEmailCodes(10'000);
  REQUIRE(codes.ok());
  for (const UntoldEmailCode& code : *codes) {
    if (code.user_id == user_id) return code;
  }
  return std::nullopt;
}

TEST_CASE("a code proves the address that it was made for, once, in its time, with few tries") {
  ForEachStore([](UserStore& store) {
    const std::string id = MustCreate(store).user.id;
    const auto code_is = [&](const std::string& code, int64_t now_us) {
      return Reason(store.VerifyEmail(id, base::Sha256(code), now_us, 3).status());
    };
    CHECK(code_is("A", kNow) == "EMAIL_CODE_INVALID");
    REQUIRE(store.PutEmailCode(id, NewCode("A", kNow), kCodeLimits).ok());
    CHECK(code_is("A", kNow + 1000) == "EMAIL_CODE_INVALID");
    CHECK(code_is("B", kNow) == "EMAIL_CODE_INVALID");
    CHECK(code_is("", kNow) == "EMAIL_CODE_INVALID");
    CHECK(code_is("A", kNow) == "EMAIL_CODE_INVALID");  // The fourth try.
    // A new code ends the earlier one, and has tries of its own.
    REQUIRE(store.PutEmailCode(id, NewCode("C", kNow + 10), kCodeLimits).ok());
    CHECK(code_is("A", kNow + 10) == "EMAIL_CODE_INVALID");
    REQUIRE(store
                .ChangeUser(id,
                            [](User& user) {
                              user.email_key = "moved." + user.email_key;
                              return absl::OkStatus();
                            })
                .ok());
    CHECK(code_is("C", kNow + 10) == "EMAIL_CODE_INVALID");
    REQUIRE(store.PutEmailCode(id, NewCode("D", kNow + 20), kCodeLimits).ok());
    CHECK(code_is("D", kNow + 1019).empty());
    CHECK(Reason(store.PutEmailCode(id, NewCode("E", kNow + 30), kCodeLimits)) == "EMAIL_VERIFIED");
    CHECK(Reason(store.PutEmailCode(NewId(), NewCode("E", kNow + 30), kCodeLimits)) == "USER_NOT_FOUND");
    CHECK_FALSE(Untold(store, id).has_value());
  });
}

TEST_CASE("only a few codes a day are sent, with a pause between them") {
  ForEachStore([](UserStore& store) {
    const std::string id = MustCreate(store).user.id;
    constexpr int64_t kDayUs = 86'400'000'000;
    REQUIRE(store.PutEmailCode(id, NewCode("A", kNow), kCodeLimits).ok());
    const absl::Status soon = store.PutEmailCode(id, NewCode("B", kNow + 9), kCodeLimits);
    CHECK(Reason(soon) == "EMAIL_VERIFICATION_RATE");
    CHECK(base::FindErrorDetails(soon)->retry_delay == absl::Microseconds(1));
    REQUIRE(store.PutEmailCode(id, NewCode("B", kNow + 10), kCodeLimits).ok());
    REQUIRE(store.PutEmailCode(id, NewCode("C", kNow + 20), kCodeLimits).ok());
    CHECK(Reason(store.PutEmailCode(id, NewCode("D", kNow + 30), kCodeLimits)) == "EMAIL_VERIFICATION_RATE");
    CHECK(Reason(store.PutEmailCode(id, NewCode("D", kNow + kDayUs - 1), kCodeLimits)) == "EMAIL_VERIFICATION_RATE");
    CHECK(store.PutEmailCode(id, NewCode("D", kNow + kDayUs), kCodeLimits).ok());
  });
}

TEST_CASE("a code is published once, and a newer one again") {
  ForEachStore([](UserStore& store) {
    const User user = MustCreate(store).user;
    REQUIRE(store.PutEmailCode(user.id, NewCode("A", kNow), kCodeLimits).ok());
    const std::optional<UntoldEmailCode> first = Untold(store, user.id);
    REQUIRE(first.has_value());
    CHECK(first->email == user.email);
    CHECK(first->code.code == "A");
    CHECK(first->code.code_sha256 == base::Sha256("A"));
    CHECK(first->code.traceparent == "00-t");
    CHECK(first->code.expire_time_us == kNow + 1000);
    REQUIRE(store.PutEmailCode(user.id, NewCode("B", kNow + 10), kCodeLimits).ok());
    REQUIRE(store.MarkEmailCodesTold({*first}).ok());
    REQUIRE(Untold(store, user.id).has_value());
    CHECK(Untold(store, user.id)->code.code == "B");
    REQUIRE(store.MarkEmailCodesTold({*Untold(store, user.id)}).ok());
    CHECK_FALSE(Untold(store, user.id).has_value());
    CHECK(store.VerifyEmail(user.id, base::Sha256("B"), kNow + 11, 3).ok());
  });
}

TEST_CASE("an invitation lets one user register while it is valid; a refused registration leaves nothing") {
  ForEachStore([](UserStore& store) {
    const std::string hash = base::Sha256(NewId());
    const std::string late = base::Sha256(NewId());
    REQUIRE(store
                .CreateInvitation(
                    {.code_sha256 = hash, .note = "for Ann", .create_time_us = kNow, .expire_time_us = kNow + 10})
                .ok());
    REQUIRE(
        store.CreateInvitation({.code_sha256 = late, .note = "", .create_time_us = kNow - 10, .expire_time_us = kNow})
            .ok());
    const User user = NewUser();
    const ApiKey key = NewKey(user.id);
    for (const std::string& wrong : {late, base::Sha256("unknown")}) {
      CHECK(Reason(store.CreateUser(user, key, Tag("invited", "x"), wrong).status()) == "INVITATION_INVALID");
      CHECK(Reason(store.GetUser(user.id).status()) == "USER_NOT_FOUND");
      CHECK_FALSE(store.FindApiKey(key.secret_sha256)->has_value());
    }
    REQUIRE(store.CreateUser(user, key, Tag(user.id, "x"), hash).ok());
    // The same request again is the same user, although the invitation is used up; another user is not let in.
    CHECK(store.CreateUser(user, key, Tag(user.id, "x"), hash)->repeated);
    const User second = NewUser();
    CHECK(Reason(store.CreateUser(second, NewKey(second.id), RequestTag{}, hash).status()) == "INVITATION_INVALID");
  });
}

TEST_CASE("a request that is sent again finds what it made") {
  ForEachStore([](UserStore& store) {
    const User user = NewUser();
    const ApiKey key = NewKey(user.id);
    const std::string asked = NewId();
    REQUIRE(store.CreateUser(user, key, Tag("request", asked), std::nullopt).ok());
    User again = NewUser();
    again.email_key = user.email_key;
    const auto repeated = store.CreateUser(again, NewKey(again.id), Tag("request", asked), std::nullopt);
    REQUIRE(repeated.ok());
    CHECK(repeated->repeated);
    CHECK(repeated->user == user);
    CHECK(repeated->key == key);
    // That the id was somebody's for something else is not told.
    const auto other_user = store.CreateUser(again, NewKey(again.id), Tag("request", NewId()), std::nullopt);
    REQUIRE(other_user.ok());
    CHECK_FALSE(other_user->repeated);

    const ApiKey second = NewKey(user.id, kNow + 1);
    REQUIRE(store.CreateApiKey(second, Tag("request", "k"), kLimits).ok());
    const auto second_again = store.CreateApiKey(NewKey(user.id, kNow + 2), Tag("request", "k"), kLimits);
    REQUIRE(second_again.ok());
    CHECK(second_again->repeated);
    CHECK(second_again->key == second);
    CHECK(Reason(store.CreateApiKey(NewKey(user.id), Tag("request", "l"), kLimits).status()) == "REQUEST_ID_REUSED");
    CHECK(store.ListApiKeys(user.id, std::nullopt, 10)->size() == 2);
    // Somebody else's request ids are none of this user's business.
    const CreatedUser other = MustCreate(store);
    CHECK_FALSE(store.CreateApiKey(NewKey(other.user.id), Tag("request", "m"), kLimits)->repeated);
  });
}

TEST_CASE("of equal requests at once one makes the user, the others find it") {
  ForEachStore([](UserStore& store) {
    const User model = NewUser();
    const RequestTag tag = Tag("race", model.id);
    constexpr int kThreads = 8;
    std::vector<absl::StatusOr<CreatedUser>> results(kThreads, absl::UnknownError(""));
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        User user = model;
        user.id = NewId();
        results[static_cast<size_t>(i)] = store.CreateUser(user, NewKey(user.id), tag, std::nullopt);
      });
    }
    for (std::thread& thread : threads) thread.join();
    int made = 0;
    for (const auto& result : results) {
      INFO(result.status().ToString());
      REQUIRE(result.ok());
      made += result->repeated ? 0 : 1;
      CHECK(result->user.id == results[0]->user.id);
    }
    CHECK(made == 1);
  });
}

TEST_CASE("a change is stored as a whole, or refused as a whole") {
  ForEachStore([](UserStore& store) {
    const CreatedUser created = MustCreate(store);
    const auto changed = store.ChangeUser(created.user.id, [](User& user) {
      user.display_name = "New";
      user.version = 2;
      user.update_time_us = kNow + 5;
      return absl::OkStatus();
    });
    REQUIRE(changed.ok());
    CHECK(changed->display_name == "New");
    CHECK(*store.GetUser(created.user.id) == *changed);
    const auto refused = store.ChangeUser(created.user.id, [](User& user) {
      user.display_name = "Newer";
      return base::EtagMismatch();
    });
    CHECK(Reason(refused.status()) == "ETAG_MISMATCH");
    CHECK(*store.GetUser(created.user.id) == *changed);
    CHECK(Reason(store.ChangeUser(NewId(), [](User&) { return absl::OkStatus(); }).status()) == "USER_NOT_FOUND");
  });
}

TEST_CASE("concurrent changes of a user wait for each other") {
  ForEachStore([](UserStore& store) {
    const CreatedUser created = MustCreate(store);
    std::vector<std::thread> threads;
    threads.reserve(4);
    std::atomic<int> failed{0};
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 10; ++j) {
          const auto changed = store.ChangeUser(created.user.id, [](User& user) {
            ++user.version;
            return absl::OkStatus();
          });
          if (!changed.ok()) ++failed;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(failed == 0);
    CHECK(store.GetUser(created.user.id)->version == 41);
  });
}

TEST_CASE("a deleted user leaves nothing but the word of it") {
  ForEachStore([](UserStore& store) {
    const User user = NewUser();
    const ApiKey key = NewKey(user.id);
    REQUIRE(store.CreateUser(user, key, Tag("request", "a"), std::nullopt).ok());
    REQUIRE(store.Follow(user.id, {"AAPL", kNow}, 10).ok());
    CHECK(Reason(store.DeleteUser(user.id, kNow, "", [](const User&) { return base::EtagMismatch(); })) ==
          "ETAG_MISMATCH");
    CHECK(store.GetUser(user.id).ok());
    REQUIRE(store.DeleteUser(user.id, kNow + 7, "00-trace", NoCheck()).ok());
    CHECK(Reason(store.GetUser(user.id).status()) == "USER_NOT_FOUND");
    CHECK(Reason(store.DeleteUser(user.id, kNow, "", NoCheck())) == "USER_NOT_FOUND");
    CHECK_FALSE(store.FindApiKey(key.secret_sha256)->has_value());
    CHECK(Reason(store.ListFollowed(user.id, "", 10).status()) == "USER_NOT_FOUND");
    CHECK(Reason(store.CreateApiKey(NewKey(user.id), RequestTag{}, kLimits).status()) == "USER_NOT_FOUND");
    CHECK(Reason(store.Follow(user.id, {"AAPL", kNow}, 10).status()) == "USER_NOT_FOUND");
    CHECK(Reason(store.CountFollowed(user.id).status()) == "USER_NOT_FOUND");

    const auto deletions = store.ReadDeletions(1'000'000);
    REQUIRE(deletions.ok());
    std::vector<Deletion> own;
    std::copy_if(deletions->begin(), deletions->end(), std::back_inserter(own),
                 [&](const Deletion& d) { return d.user_id == user.id; });
    REQUIRE(own.size() == 1);
    CHECK(own[0].delete_time_us == kNow + 7);
    CHECK(own[0].traceparent == "00-trace");
    REQUIRE(store.ForgetDeletions({own[0].sequence}).ok());
    REQUIRE(store.ForgetDeletions({own[0].sequence}).ok());
    REQUIRE(store.ForgetDeletions({}).ok());
    const auto left = store.ReadDeletions(1'000'000);
    CHECK(std::none_of(left->begin(), left->end(), [&](const Deletion& d) { return d.user_id == user.id; }));

    // The address and the request id are free again.
    User next = NewUser();
    next.email_key = user.email_key;
    const auto registered = store.CreateUser(next, NewKey(next.id), Tag("request", "a"), std::nullopt);
    REQUIRE(registered.ok());
    CHECK_FALSE(registered->repeated);
  });
}

TEST_CASE("users are listed by time and id, page by page") {
  ForEachStore([](UserStore& store) {
    // A stretch of time of its own, far from the other cases'.
    static std::atomic<int64_t> next{4'000'000'000'000'000 +
                                     static_cast<int64_t>(std::hash<std::string>{}(NewId()) % 1'000'000'000) * 1000};
    const int64_t begin = next.fetch_add(1000);
    std::vector<User> expected;
    expected.reserve(5);
    for (int i = 0; i < 5; ++i) expected.push_back(MustCreate(store, begin + i / 2).user);
    std::sort(expected.begin(), expected.end(), [](const User& a, const User& b) {
      return std::tie(a.create_time_us, a.id) < std::tie(b.create_time_us, b.id);
    });
    std::vector<User> found;
    std::optional<TimePlace> after = TimePlace{begin - 1, "ffffffff-ffff-4fff-bfff-ffffffffffff"};
    while (found.size() < 5) {
      const auto page = store.ListUsers(after, 2);
      REQUIRE(page.ok());
      REQUIRE(!page->empty());
      for (const User& user : *page) {
        if (found.size() < 5) found.push_back(user);
      }
      after = TimePlace{page->back().create_time_us, page->back().id};
    }
    CHECK(found == expected);
    CHECK(store.ListUsers(std::nullopt, 1)->size() == 1);
  });
}

TEST_CASE("API keys have a quota, are listed in order, and can be revoked") {
  ForEachStore([](UserStore& store) {
    const CreatedUser created = MustCreate(store);
    const std::string& id = created.user.id;
    const KeyLimits limits{.now_us = kNow + 100, .live_max = 3, .dead_max = 100};
    ApiKey expiring = NewKey(id, kNow + 1);
    expiring.expire_time_us = kNow + 200;
    REQUIRE(store.CreateApiKey(expiring, RequestTag{}, limits).ok());
    const ApiKey third = NewKey(id, kNow + 2);
    REQUIRE(store.CreateApiKey(third, RequestTag{}, limits).ok());
    CHECK(Reason(store.CreateApiKey(NewKey(id), RequestTag{}, limits).status()) == "API_KEY_QUOTA");

    const auto revoked = store.RevokeApiKey(id, third.id, kNow + 150);
    REQUIRE(revoked.ok());
    CHECK(revoked->revoke_time_us == kNow + 150);
    CHECK(store.RevokeApiKey(id, third.id, kNow + 160)->revoke_time_us == kNow + 150);
    CHECK((**store.FindApiKey(third.secret_sha256)).revoke_time_us == kNow + 150);
    CHECK(store.CreateApiKey(NewKey(id, kNow + 3), RequestTag{}, limits).ok());
    CHECK_FALSE(store.CreateApiKey(NewKey(id, kNow + 4), RequestTag{}, limits).ok());
    // An expired key makes place as a revoked one does.
    const KeyLimits later{.now_us = kNow + 200, .live_max = 3, .dead_max = 100};
    CHECK(store.CreateApiKey(NewKey(id, kNow + 4), RequestTag{}, later).ok());

    const auto all = store.ListApiKeys(id, std::nullopt, 100);
    REQUIRE(all->size() == 5);
    CHECK(std::is_sorted(all->begin(), all->end(),
                         [](const ApiKey& a, const ApiKey& b) { return a.create_time_us < b.create_time_us; }));
    const auto page = store.ListApiKeys(id, TimePlace{(*all)[1].create_time_us, (*all)[1].id}, 2);
    CHECK(*page == std::vector<ApiKey>{(*all)[2], (*all)[3]});

    const CreatedUser other = MustCreate(store);
    CHECK(Reason(store.RevokeApiKey(other.user.id, third.id, kNow).status()) == "API_KEY_NOT_FOUND");
    CHECK(Reason(store.RevokeApiKey(id, NewId(), kNow).status()) == "API_KEY_NOT_FOUND");
  });
}

TEST_CASE("only the newest revoked and expired keys are kept, up to a limit") {
  ForEachStore([](UserStore& store) {
    const CreatedUser created = MustCreate(store);
    const std::string& id = created.user.id;
    const KeyLimits limits{.now_us = kNow + 100, .live_max = 20, .dead_max = 2};
    std::vector<ApiKey> keys;
    for (int i = 1; i <= 4; ++i) {
      keys.push_back(NewKey(id, kNow + i));
      REQUIRE(store.CreateApiKey(keys.back(), Tag("r" + std::to_string(i), "x"), limits).ok());
    }
    for (const ApiKey& key : keys) REQUIRE(store.RevokeApiKey(id, key.id, kNow + 50).ok());
    REQUIRE(store.CreateApiKey(NewKey(id, kNow + 9), RequestTag{}, limits).ok());
    const auto left = store.ListApiKeys(id, std::nullopt, 100);
    REQUIRE(left->size() == 4);
    CHECK((*left)[0].id == created.key.id);
    CHECK((*left)[1].id == keys[2].id);
    CHECK((*left)[2].id == keys[3].id);
    CHECK_FALSE(store.CreateApiKey(NewKey(id, kNow + 10), Tag("r1", "x"), limits)->repeated);
  });
}

TEST_CASE("the quota of keys holds against calls at once") {
  ForEachStore([](UserStore& store) {
    const CreatedUser created = MustCreate(store);
    const KeyLimits limits{.now_us = kNow, .live_max = 4, .dead_max = 100};
    std::vector<std::thread> threads;
    threads.reserve(8);
    std::atomic<int> made{0};
    std::atomic<int> odd{0};
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        const auto result = store.CreateApiKey(NewKey(created.user.id), RequestTag{}, limits);
        if (result.ok()) {
          ++made;
        } else if (base::ReasonOf(result.status()) != "API_KEY_QUOTA") {
          ++odd;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(made == 3);
    CHECK(odd == 0);
  });
}

TEST_CASE("a ticker is followed once, within the quota, and listed by symbol") {
  ForEachStore([](UserStore& store) {
    const CreatedUser created = MustCreate(store);
    const CreatedUser other = MustCreate(store);
    const std::string& id = created.user.id;
    const std::string own_symbol = "T" + NewId().substr(0, 8);
    CHECK(*store.CountFollowed(id) == 0);
    CHECK(*store.Follow(id, {own_symbol, kNow}, 3) == FollowedTicker{own_symbol, kNow});
    CHECK(*store.Follow(id, {own_symbol, kNow + 9}, 3) == FollowedTicker{own_symbol, kNow});
    REQUIRE(store.Follow(id, {"ZZZ", kNow + 1}, 3).ok());
    REQUIRE(store.Follow(id, {"BRK.B", kNow + 2}, 3).ok());
    CHECK(Reason(store.Follow(id, {"AAPL", kNow}, 3).status()) == "FOLLOW_QUOTA");
    CHECK(store.Follow(id, {"ZZZ", kNow}, 3).ok());
    CHECK(*store.CountFollowed(id) == 3);
    REQUIRE(store.Follow(other.user.id, {own_symbol, kNow}, 3).ok());
    CHECK(*store.CountFollowers(own_symbol) == 2);
    CHECK(*store.CountFollowers("NOBODY") == 0);

    const auto all = store.ListFollowed(id, "", 10);
    REQUIRE(all->size() == 3);
    CHECK((*all)[0].symbol == "BRK.B");
    CHECK((*all)[1].symbol == own_symbol);
    CHECK((*all)[2] == FollowedTicker{"ZZZ", kNow + 1});
    CHECK(*store.ListFollowed(id, "BRK.B", 1) == std::vector<FollowedTicker>{{own_symbol, kNow}});
    CHECK((*store.FindFollowed(id, "ZZZ"))->create_time_us == kNow + 1);
    CHECK_FALSE(store.FindFollowed(id, "AAPL")->has_value());

    CHECK(store.Unfollow(id, own_symbol).ok());
    CHECK(Reason(store.Unfollow(id, own_symbol)) == "FOLLOWED_TICKER_NOT_FOUND");
    CHECK(*store.CountFollowers(own_symbol) == 1);
    CHECK(Reason(store.ListFollowed(NewId(), "", 10).status()) == "USER_NOT_FOUND");
  });
}

}  // namespace
}  // namespace stockalert::user
