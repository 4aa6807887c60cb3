#include "services/notifier/unsubscribe/unsubscribe_token.h"

#include <catch2/catch.hpp>
#include <set>

#include "services/common/base/ids.h"

namespace stockalert::notifier {
namespace {

using secrets::SecretBox;

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr char kDestination[] = "33333333-3333-4333-8333-333333333333";
constexpr char kAddress[] = "ann@example.org";
constexpr char kOld[] = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
constexpr char kNew[] = "k2 HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

SecretBox Box(const std::string& keys) { return *SecretBox::FromText(keys); }

TEST_CASE("a token stands for a destination and its address, the same at each time") {
  const SecretBox box = Box(kOld);
  const std::string token = MakeUnsubscribeToken(box, kUser, kDestination, kAddress);
  CHECK(token.size() == 86);
  CHECK(token == MakeUnsubscribeToken(box, kUser, kDestination, kAddress));
  const auto target = ReadUnsubscribeToken(box, token);
  REQUIRE(target);
  CHECK(target->user_id == kUser);
  CHECK(target->destination_id == kDestination);
  CHECK(HasAddress(box, *target, kAddress));
  CHECK_FALSE(HasAddress(box, *target, "bob@example.org"));
  CHECK_FALSE(HasAddress(box, *target, ""));
  CHECK(token.find("ann") == std::string::npos);
}

TEST_CASE("a token holds as long as its key is configured") {
  const std::string token = MakeUnsubscribeToken(Box(kOld), kUser, kDestination, kAddress);
  const SecretBox rotated = Box(std::string(kNew) + kOld);
  const auto target = ReadUnsubscribeToken(rotated, token);
  REQUIRE(target);
  CHECK(HasAddress(rotated, *target, kAddress));
  CHECK_FALSE(ReadUnsubscribeToken(Box(kNew), token));
}

TEST_CASE("nothing else is a token") {
  const SecretBox box = Box(kOld);
  const std::string token = MakeUnsubscribeToken(box, kUser, kDestination, kAddress);
  for (size_t i = 0; i < token.size(); ++i) {
    std::string other = token;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    INFO(i);
    CHECK_FALSE(ReadUnsubscribeToken(box, other));
  }
  for (const std::string& wrong : {std::string(), std::string("x"), token + "A", token.substr(1), token + "==",
                                   std::string(86, 'A'), std::string(100'000, 'A'), std::string("../../etc/passwd"),
                                   // Of a secret, which is sealed with the same keys.
                                   box.Seal(std::string(16, 'x'), kDestination)}) {
    INFO(wrong.substr(0, 100));
    CHECK_FALSE(ReadUnsubscribeToken(box, wrong));
  }
  std::set<std::string> tokens;
  for (const char* address : {kAddress, "bob@example.org"}) {
    for (const char* id : {kDestination, kUser}) {
      CHECK(tokens.insert(MakeUnsubscribeToken(box, kUser, id, address)).second);
    }
  }
}

}  // namespace
}  // namespace stockalert::notifier
