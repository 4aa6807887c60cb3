#include "services/common/webhook/webhook_signature.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/support/fake_ids/fake_ids.h"

namespace stockalert::webhook {
namespace {

// The example keys, text and signatures that the standard and its libraries are published with.
constexpr char kSecret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr char kPrivate[] =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
constexpr char kPublic[] = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
constexpr char kId[] = "msg_p5jXN8AQM9LWM0D4loKWxJek";
constexpr int64_t kTimestampS = 1614265330;
constexpr char kBody[] = R"({"test": 2432232314})";
constexpr char kHmacSignature[] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
constexpr char kEd25519Signature[] =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

Keys ExampleKeys() { return ParseKeys(std::string(kSecret) + " " + kPrivate).value(); }

TEST_CASE("the published example is signed as it is published") {
  CHECK(Sign({ExampleKeys()}, kId, kTimestampS, kBody) == std::string(kHmacSignature) + " " + kEd25519Signature);
  CHECK(PublicKeyText(ExampleKeys()) == kPublic);
}

TEST_CASE("keys that are kept ready sign every text as the keys themselves do, and so do their copies") {
  const Keys keys = ExampleKeys();
  const Signer signer(keys);
  const Signer copy = signer;
  for (int i = 0; i < 3; ++i) {
    const std::string body = std::string(kBody) + std::string(static_cast<size_t>(i), ' ');
    CHECK(signer.Sign(kId, kTimestampS + i, body) == Sign({keys}, kId, kTimestampS + i, body));
    CHECK(Verify(keys, kId, kTimestampS + i, body, copy.Sign(kId, kTimestampS + i, body)));
  }
}

TEST_CASE("the specification's own text is signed as another implementation signs it") {
  CHECK(Sign({ExampleKeys()}, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", 1674087231,
             R"({"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z",)"
             R"("data":{"id":"1f81eb52-5198-4599-803e-771906343485"}})") ==
        "v1,ARw42xaAApl/nxRo+iPGYwSaMQaOwMo2eyH5JBRA+bQ= "
        "v1a,LvaM/XV2eiveYbh3nDJB9CFU6SgUQsSFO7Nz5u3M+PUesso2vWw2zj6zoee2ijOae0RluTX9xaoEs9uSSJ/uDg==");
}

TEST_CASE("keys go to text and back") {
  CHECK(SecretText(ExampleKeys()) == kSecret);
  CHECK(PrivateKeyText(ExampleKeys()) == kPrivate);
  CHECK(SerializeKeys(ExampleKeys()) == std::string(kSecret) + " " + kPrivate);
  base::SystemIdSource ids;
  for (int i = 0; i < 100; ++i) {
    const Keys keys = NewKeys(ids);
    CHECK(ParseKeys(SerializeKeys(keys)).value() == keys);
    CHECK(SecretText(keys).find_first_of("-_", 6) == std::string::npos);
  }
}

TEST_CASE("new keys are 32 bytes each, all of them different") {
  testing::FakeIds fake;
  const Keys first = NewKeys(fake);
  CHECK(first.hmac_key == std::string(1, '\1') + std::string(31, '\0'));
  CHECK(first.ed25519_seed == std::string(1, '\2') + std::string(31, '\0'));
  base::SystemIdSource ids;
  std::set<std::string> seen;
  for (int i = 0; i < 50; ++i) {
    const Keys keys = NewKeys(ids);
    CHECK(keys.hmac_key.size() == 32);
    CHECK(keys.ed25519_seed.size() == 32);
    seen.insert(keys.hmac_key);
    seen.insert(keys.ed25519_seed);
  }
  CHECK(seen.size() == 100);
}

TEST_CASE("texts that are no keys are refused, and the error does not show them") {
  const std::string secret = kSecret;
  const std::string pair = kPrivate;
  const std::string short_secret = "whsec_" + std::string(28, 'A') + "AAA=";  // 23 bytes.
  const std::string long_secret = "whsec_" + std::string(84, 'A') + "AAA=";   // 65 bytes.
  for (const std::string& text : std::vector<std::string>{
           "",
           " ",
           secret,
           pair,
           secret + " ",
           " " + pair,
           secret + "  " + pair,
           secret + " " + pair + " ",
           pair + " " + secret,
           secret + " " + secret,
           secret + " " + kPublic,
           secret + "\n" + pair,
           short_secret + " " + pair,
           long_secret + " " + pair,
           "whsec_ " + pair,
           secret + " whsk_",
           secret.substr(6) + " " + pair,
           secret + " " + pair.substr(5),
           "WHSEC_" + secret.substr(6) + " " + pair,
           // The padding left out, doubled, within, or of the alphabet for URLs.
           secret + " " + pair.substr(0, pair.size() - 2),
           secret + " " + pair + "==",
           secret + " " + pair + "====",
           secret + "=" + " " + pair,
           "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa=w " + pair,
           "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_ " + pair,
           // Another public half; bits beyond the last byte.
           secret + " whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvw==",
           secret + " whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvh==",
           // Another private half.
           secret + " whsk_7Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
       }) {
    INFO(text);
    const absl::Status status = ParseKeys(text).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find("MfKQ") == std::string::npos);
    CHECK(std::string(status.message()).find("Xb/d") == std::string::npos);
  }
}

TEST_CASE("the shortest and the longest secret of the standard are taken") {
  for (const size_t size : {24, 64}) {
    Keys keys = ExampleKeys();
    keys.hmac_key = std::string(size, 'k');
    CHECK(ParseKeys(SerializeKeys(keys)).value() == keys);
  }
}

TEST_CASE("in a rotation both generations sign, the present one first, and either verifies") {
  base::SystemIdSource ids;
  const Keys present = NewKeys(ids);
  const Keys before = NewKeys(ids);
  const std::string header = Sign({present, before}, kId, kTimestampS, kBody);
  const std::vector<std::string> signatures = absl::StrSplit(header, ' ');
  REQUIRE(signatures.size() == 4);
  CHECK(Sign({present}, kId, kTimestampS, kBody) == signatures[0] + " " + signatures[1]);
  CHECK(Sign({before}, kId, kTimestampS, kBody) == signatures[2] + " " + signatures[3]);
  for (const Keys& keys : {present, before}) CHECK(Verify(keys, kId, kTimestampS, kBody, header));
  CHECK_FALSE(Verify(NewKeys(ids), kId, kTimestampS, kBody, header));
}

TEST_CASE("each scheme verifies by itself, wherever in the list it stands") {
  const Keys keys = ExampleKeys();
  const std::string hmac = kHmacSignature;
  const std::string ed25519 = kEd25519Signature;
  for (const std::string& header :
       {hmac, ed25519, "v1,AAAA " + hmac, "v2,xyz " + ed25519, hmac + " v1,AAAA", " " + hmac}) {
    INFO(header);
    CHECK(Verify(keys, kId, kTimestampS, kBody, header));
  }
}

TEST_CASE("another id, time, body, scheme or signature does not verify") {
  const Keys keys = ExampleKeys();
  const std::string hmac = kHmacSignature;
  const std::string ed25519 = kEd25519Signature;
  const std::string both = hmac + " " + ed25519;
  CHECK_FALSE(Verify(keys, "msg_p5jXN8AQM9LWM0D4loKWxJel", kTimestampS, kBody, both));
  CHECK_FALSE(Verify(keys, kId, kTimestampS + 1, kBody, both));
  CHECK_FALSE(Verify(keys, kId, kTimestampS, std::string(kBody) + " ", both));
  CHECK_FALSE(Verify(keys, kId, kTimestampS, "", both));
  for (const std::string& header :
       {std::string(), std::string("v1,"), std::string("v1a,"), "v2" + hmac.substr(2), "v1," + ed25519.substr(4),
        "v1a," + hmac.substr(3), hmac.substr(3), hmac.substr(0, hmac.size() - 1), hmac + ",", hmac + "\n",
        "v1,h" + hmac.substr(4), "v1a,i" + ed25519.substr(5)}) {
    INFO(header);
    CHECK_FALSE(Verify(keys, kId, kTimestampS, kBody, header));
  }
}

TEST_CASE("a body of any bytes is signed as it is") {
  base::SystemIdSource ids;
  const Keys keys = NewKeys(ids);
  std::string body;
  for (int i = 0; i < 20'000; ++i) body.push_back(static_cast<char>(i * 7));
  const std::string header = Sign({keys}, kId, 0, body);
  CHECK(Verify(keys, kId, 0, body, header));
  body.back() = static_cast<char>(body.back() ^ 1);
  CHECK_FALSE(Verify(keys, kId, 0, body, header));
}

}  // namespace
}  // namespace stockalert::webhook
