// Ids and tokens that count up, so that tests can name them: 00000000-0000-4000-8000-000000000001 and so on.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

#include "services/common/base/ids.h"

namespace stockalert::testing {

class FakeIds final : public base::IdSource {
 public:
  static std::string Uuid(uint64_t number) {
    char text[37];
    std::snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012llx", static_cast<unsigned long long>(number));
    return text;
  }
  std::string NewUuid() override { return Uuid(++uuids_); }
  std::string NewToken(size_t bytes) override {
    std::string random(bytes, '\0');
    uint64_t number = ++tokens_;
    for (size_t i = 0; i < bytes && number > 0; ++i, number >>= 8) random[i] = static_cast<char>(number & 0xff);
    return base::Base64UrlEncode(random);
  }

 private:
  std::atomic<uint64_t> uuids_{0};
  std::atomic<uint64_t> tokens_{0};
};

}  // namespace stockalert::testing
