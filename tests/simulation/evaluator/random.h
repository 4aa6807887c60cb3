// The one source of chance of a simulation: everything that it does follows from its seed.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

namespace stockalert::simulation {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // A fuzzer's bytes in place of chance, few for each draw, so that a byte that changes changes little else; afterwards
  // as if seeded. They must outlive it.
  Random(const uint8_t* bytes, size_t size) : engine_(0), bytes_(bytes), left_(size), from_bytes_(true) {}
  // Whether all bytes are drawn.
  bool exhausted() const { return from_bytes_ && left_ == 0; }

  // From `low` to `high`, both included.
  int64_t Between(int64_t low, int64_t high) {
    // Not std::uniform_int_distribution, whose results differ between libraries.
    const uint64_t count = static_cast<uint64_t>(high - low + 1);
    return low + static_cast<int64_t>((left_ > 0 ? Take(count) : engine_()) % count);
  }
  bool Chance(double probability) {
    constexpr uint64_t kTwoBytes = 0x10000;
    if (left_ > 0) return static_cast<double>(Take(kTwoBytes)) / kTwoBytes < probability;
    return static_cast<double>(engine_() >> 11) * 0x1.0p-53 < probability;
  }

  template <typename T>
  T Pick(std::initializer_list<T> choices) {
    return *(choices.begin() + Between(0, static_cast<int64_t>(choices.size()) - 1));
  }
  template <typename T>
  const T& Pick(const std::vector<T>& choices) {
    return choices[static_cast<size_t>(Between(0, static_cast<int64_t>(choices.size()) - 1))];
  }

 private:
  // Of as many bytes as a number below `count` takes.
  uint64_t Take(uint64_t count) {
    uint64_t number = 0;
    for (uint64_t rest = count - 1; rest > 0 && left_ > 0; rest >>= 8) {
      number = number << 8 | *bytes_++;
      --left_;
    }
    return number;
  }

  std::mt19937_64 engine_;
  const uint8_t* bytes_ = nullptr;
  size_t left_ = 0;
  bool from_bytes_ = false;
};

// A number from the environment, for seeds and how long to run.
inline int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoll(text, nullptr, 10);
}

}  // namespace stockalert::simulation
