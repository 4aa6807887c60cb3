#include "services/common/secrets/secret_box.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>

#include "services/common/base/ids.h"

namespace stockalert::secrets {
namespace {

constexpr char kOwner[] = "00000000-0000-4000-8000-000000000001";
constexpr char kOther[] = "00000000-0000-4000-8000-000000000002";
constexpr char kFirstKey[] = "2026-11 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";  // Bytes 0 to 31.
constexpr char kNextKey[] = "2027-01 //////////////////////////////////////////8=";   // All bits set.

SecretBox Box(const std::string& text) { return SecretBox::FromText(text).value(); }

TEST_CASE("a sealed secret opens again for its owner") {
  const SecretBox box = Box(kFirstKey);
  for (const std::string& secret :
       {std::string(), std::string("s"), std::string("a\0b", 3), std::string("\xff\xfe"), std::string(100'000, 'x')}) {
    INFO(secret.size());
    const std::string sealed = box.Seal(secret, kOwner);
    CHECK(sealed.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
          std::string::npos);
    CHECK(box.Open(sealed, kOwner).value() == secret);
  }
}

TEST_CASE("a tag is the same for the same text and key, as another implementation of HMAC-SHA256 makes it") {
  const SecretBox box = Box(kFirstKey);
  CHECK(box.Tag("2\nann@example.org") == "e1b87f1eab178d176ecce30a8b598cc42616dfdffc24db65303ae6cae1740307");
  CHECK(box.Tag("2\nbob@example.org") != box.Tag("2\nann@example.org"));
  CHECK(Box(std::string(kFirstKey) + "\n" + kNextKey).Tag("x") == box.Tag("x"));
  CHECK(Box(std::string(kNextKey) + "\n" + kFirstKey).Tag("x") != box.Tag("x"));
}

TEST_CASE("a secret that another implementation of AES-256-GCM sealed opens") {
  CHECK(
      Box(kFirstKey)
          .Open("AQcyMDI2LTExZGVmZ2hpamtsbW5vIG-qFgrTebFWDTCDqUsPhSOvdmbuQpAdyv7fLYnVzCvxmm-zKXHpYYnXS7ZWlkkHxWpjZVfcq"
                "_Xr",
                kOwner)
          .value() == "https://hooks.example.com/services/secret");
}

TEST_CASE("the sealed form does not contain the secret, and differs each time") {
  const SecretBox box = Box(kFirstKey);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string sealed = box.Seal("whsec_secret", kOwner);
    seen.insert(sealed);
    CHECK(base::Base64UrlDecode(sealed)->find("secret") == std::string::npos);
  }
  CHECK(seen.size() == 1000);
}

TEST_CASE("a secret moved to another row does not open") {
  const SecretBox box = Box(kFirstKey);
  const std::string sealed = box.Seal("secret", kOwner);
  CHECK(absl::IsDataLoss(box.Open(sealed, kOther).status()));
  CHECK(absl::IsDataLoss(box.Open(sealed, "").status()));
  // What the key's id and the owner are is no matter of where one ends.
  const std::string joined = Box("a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").Seal("secret", "bc");
  const SecretBox longer = Box("ab AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  CHECK_FALSE(longer.Open(joined, "c").ok());
}

TEST_CASE("every changed bit and every removed or added byte is detected") {
  const SecretBox box = Box(kFirstKey);
  const std::string sealed = box.Seal("secret", kOwner);
  const std::string bytes = base::Base64UrlDecode(sealed).value();
  REQUIRE(bytes.size() == 2 + 7 + 12 + 6 + 16);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      INFO("byte " << i << ", bit " << bit);
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      const absl::Status status = box.Open(base::Base64UrlEncode(changed), kOwner).status();
      CHECK((absl::IsDataLoss(status) || absl::IsNotFound(status)));
    }
    CHECK_FALSE(box.Open(base::Base64UrlEncode(bytes.substr(0, i)), kOwner).ok());
    CHECK_FALSE(box.Open(base::Base64UrlEncode(bytes.substr(i + 1)), kOwner).ok());
  }
  CHECK(absl::IsDataLoss(box.Open(base::Base64UrlEncode(bytes + "x"), kOwner).status()));
  for (const std::string& text : {std::string(), std::string("="), sealed + "=", sealed + "A", " " + sealed,
                                  std::string("not sealed"), std::string(100'000, 'A')}) {
    CHECK(absl::IsDataLoss(box.Open(text, kOwner).status()));
  }
}

TEST_CASE("an unknown format does not open, whatever key it names") {
  std::string bytes = base::Base64UrlDecode(Box(kNextKey).Seal("secret", kOwner)).value();
  CHECK(absl::IsNotFound(Box(kFirstKey).Open(base::Base64UrlEncode(bytes), kOwner).status()));
  bytes[0] = 2;
  CHECK(absl::IsDataLoss(Box(kFirstKey).Open(base::Base64UrlEncode(bytes), kOwner).status()));
}

TEST_CASE("after a rotation the new key seals, and the old one opens until it is removed") {
  const SecretBox before = Box(kFirstKey);
  const std::string old = before.Seal("secret", kOwner);
  CHECK_FALSE(before.IsSealedByOldKey(old));

  const SecretBox both = Box(std::string(kNextKey) + "\n" + kFirstKey + "\n");
  CHECK(both.sealing_key_id() == "2027-01");
  CHECK(both.Open(old, kOwner).value() == "secret");
  CHECK(both.IsSealedByOldKey(old));
  const std::string fresh = both.Seal("secret", kOwner);
  CHECK_FALSE(both.IsSealedByOldKey(fresh));
  CHECK(both.IsSealedByOldKey("not sealed"));

  const SecretBox after = Box(kNextKey);
  CHECK(after.Open(fresh, kOwner).value() == "secret");
  const absl::Status lost = after.Open(old, kOwner).status();
  CHECK(absl::IsNotFound(lost));
  CHECK(std::string(lost.message()).find("2026-11") != std::string::npos);
  // The same id with another key opens nothing.
  CHECK(absl::IsDataLoss(Box("2026-11 //////////////////////////////////////////8=").Open(old, kOwner).status()));
}

TEST_CASE("a box may be copied and moved") {
  SecretBox box = Box(kFirstKey);
  const std::string sealed = box.Seal("secret", kOwner);
  const SecretBox copy = box;
  const SecretBox moved = std::move(box);
  CHECK(copy.Open(sealed, kOwner).value() == "secret");
  CHECK(moved.Open(sealed, kOwner).value() == "secret");
}

TEST_CASE("a file of keys may contain comments, empty lines, blanks and CRLF") {
  const SecretBox box = Box(std::string("# keys\n\n  ") + kNextKey + " \r\n\t# old\n" +
                            "2026-11 \t AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  CHECK(box.sealing_key_id() == "2027-01");
  CHECK(box.Open(Box(kFirstKey).Seal("secret", kOwner), kOwner).value() == "secret");
  const std::string longest(32, 'k');
  CHECK(Box(longest + " AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").sealing_key_id() == longest);
}

struct Broken {
  std::string text;
  std::string said;
};

TEST_CASE("a malformed file of keys is refused, and the error names the line but no key") {
  const std::string key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  const Broken files[] = {
      {"", "no key"},
      {"\n# nothing\n", "no key"},
      {key, "line 1"},
      {"a", "line 1"},
      {"a " + key + " b", "line 1"},
      {"a " + key + "\nb", "line 2"},
      {"a " + key + "\n\nb " + key.substr(4), "line 3"},
      {"a " + key.substr(0, 43), "line 1"},
      {"a " + key + "=", "line 1"},
      {"a " + key.substr(0, 42) + "==", "line 1"},
      {"a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", "line 1"},  // Bits beyond the last byte.
      {"a -_ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "line 1"},  // The alphabet for URLs.
      {"a " + key + key, "line 1"},
      {"a 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "line 1"},
      {"a " + key + "\na " + std::string(kNextKey).substr(8), "line 2"},
      {"a.b " + key, "line 1"},
      {"\xc3\xa4 " + key, "line 1"},
      {std::string(33, 'k') + " " + key, "line 1"},
      {std::string("a\0b ", 4) + key, "line 1"},
  };
  for (const Broken& file : files) {
    INFO(file.text);
    const absl::Status status = SecretBox::FromText(file.text).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find(file.said) != std::string::npos);
    CHECK(std::string(status.message()).find("AwQF") == std::string::npos);
  }
}

class KeysFile {
 public:
  explicit KeysFile(const std::string& text) {
    path_ = "/tmp/stockalert_keys_" + base::SystemIdSource().NewUuid();
    std::ofstream(path_) << text;
  }
  ~KeysFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST_CASE("keys are read from a file, and an unreadable one is named in the error") {
  const KeysFile good(std::string(kFirstKey) + "\n");
  CHECK(SecretBox::FromFile(good.path())->sealing_key_id() == "2026-11");

  const KeysFile broken("a b\n");
  const KeysFile empty("");
  const KeysFile large(std::string(kFirstKey) + "\n#" + std::string(64 * 1024, 'x'));
  for (const std::string& path :
       {broken.path(), empty.path(), large.path(), std::string("/tmp"), good.path() + "_missing", std::string()}) {
    INFO(path);
    const absl::Status status = SecretBox::FromFile(path).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find(path) == 0);
  }
  // Just as much as may be.
  const std::string first = std::string(kFirstKey) + "\n#";
  const KeysFile full(first + std::string(64 * 1024 - first.size(), 'x'));
  CHECK(SecretBox::FromFile(full.path()).ok());
}

TEST_CASE("a tag is recognised with any key that is configured, and for its text alone") {
  const std::string other_key = "2026-12 HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
  const SecretBox before = *SecretBox::FromText(std::string(kFirstKey) + "\n");
  const SecretBox rotated = *SecretBox::FromText(other_key + kFirstKey + "\n");
  const SecretBox after = *SecretBox::FromText(other_key);
  const std::string tag = before.Tag("text");
  CHECK(before.IsTag(tag, "text"));
  CHECK(before.IsTag(tag.substr(0, 32), "text"));
  CHECK(rotated.IsTag(tag, "text"));
  CHECK(rotated.IsTag(rotated.Tag("text"), "text"));
  CHECK_FALSE(after.IsTag(tag, "text"));
  CHECK_FALSE(before.IsTag(tag, "texts"));
  CHECK_FALSE(before.IsTag(tag.substr(0, 31), "text"));
  CHECK_FALSE(before.IsTag("", "text"));
  CHECK_FALSE(before.IsTag(tag + "0", "text"));
  std::string other = tag;
  other[40] = other[40] == '0' ? '1' : '0';
  CHECK_FALSE(before.IsTag(other, "text"));
}

}  // namespace
}  // namespace stockalert::secrets
