#include "services/common/trace/trace.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include "services/common/trace/sound.h"

namespace stockalert::trace {
namespace {

constexpr size_t kSize = 55;

// Up to 16 digits of a number that is not zero. Ids of traces are no secrets.
std::string RandomHex16() {
  thread_local std::mt19937_64 generator([] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }());
  uint64_t number = 0;
  while (number == 0) number = generator();
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, number >>= 4) *digit = kDigits[number & 0xf];
  return text;
}

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsId(std::string_view text) {
  return IsHex(text) && std::any_of(text.begin(), text.end(), [](char c) { return c != '0'; });
}

}  // namespace

std::string Context::Traceparent() const { return "00-" + trace_id + "-" + span_id + (sampled ? "-01" : "-00"); }

Context Context::Child() const { return Context{trace_id, RandomHex16(), sampled}; }

Context NewRoot() { return Context{RandomHex16() + RandomHex16(), RandomHex16(), true}; }

std::optional<Context> Parse(std::string_view traceparent) {
  // version-trace_id-span_id-flags; later versions may add more after another dash.
  if (traceparent.size() < kSize || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-')
    return std::nullopt;
  const std::string_view version = traceparent.substr(0, 2);
  const std::string_view trace_id = traceparent.substr(3, 32);
  const std::string_view span_id = traceparent.substr(36, 16);
  const std::string_view flags = traceparent.substr(53, 2);
  if (!IsHex(version) || version == "ff" || !IsId(trace_id) || !IsId(span_id) || !IsHex(flags)) return std::nullopt;
  if (traceparent.size() > kSize && (version == "00" || traceparent[kSize] != '-')) return std::nullopt;
  const char low = flags[1];
  const int low_value = low <= '9' ? low - '0' : low - 'a' + 10;
  return Context{std::string(trace_id), std::string(span_id), (low_value & 1) != 0};
}

std::string_view ValidTraceparent(std::string_view traceparent) {
  return Parse(traceparent) ? traceparent.substr(0, kSize) : std::string_view();
}

Context Continue(std::string_view traceparent) {
  const std::optional<Context> context = Parse(traceparent);
  return context ? context->Child() : NewRoot();
}

}  // namespace stockalert::trace
