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

  // From `low` to `high`, both included.
  int64_t Between(int64_t low, int64_t high) {
    // Not std::uniform_int_distribution, whose results differ between libraries.
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }
  bool Chance(double probability) { return static_cast<double>(engine_() >> 11) * 0x1.0p-53 < probability; }

  template <typename T>
  T Pick(std::initializer_list<T> choices) {
    return *(choices.begin() + Between(0, static_cast<int64_t>(choices.size()) - 1));
  }
  template <typename T>
  const T& Pick(const std::vector<T>& choices) {
    return choices[static_cast<size_t>(Between(0, static_cast<int64_t>(choices.size()) - 1))];
  }

 private:
  std::mt19937_64 engine_;
};

// A number from the environment, for seeds and how long to run.
inline int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoll(text, nullptr, 10);
}

}  // namespace stockalert::simulation
