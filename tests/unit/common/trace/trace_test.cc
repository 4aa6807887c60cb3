#include "services/common/trace/trace.h"
#include "services/common/trace/sound.h"

#include <catch2/catch.hpp>
#include <string>

namespace stockalert::trace {
namespace {

constexpr char kValid[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST_CASE("a valid traceparent goes both ways, and a child keeps the trace") {
  const std::optional<Context> context = Parse(kValid);
  REQUIRE(context);
  CHECK(context->trace_id == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(context->span_id == "00f067aa0ba902b7");
  CHECK(context->sampled);
  CHECK(context->Traceparent() == kValid);
  const Context child = Continue(kValid);
  CHECK(child.trace_id == context->trace_id);
  CHECK(child.span_id != context->span_id);
  CHECK_FALSE(Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")->sampled);
  CHECK(Parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
}

TEST_CASE("what is not valid begins a new trace") {
  for (const char* text : {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                           "00-4bf92f3577b34da6a3ce929d0e0e473x-00f067aa0ba902b7-01",
                           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
                           "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"}) {
    INFO(text);
    CHECK_FALSE(Parse(text));
    CHECK(Parse(Continue(text).Traceparent()));
  }
  CHECK(NewRoot().trace_id != NewRoot().trace_id);
}

TEST_CASE("what is kept of a traceparent is hexadecimal digits and dashes, whatever came") {
  const std::string valid = kValid;
  CHECK(ValidTraceparent(valid) == valid);
  std::string later = "01" + valid.substr(2);
  CHECK(ValidTraceparent(later) == later);
  CHECK(ValidTraceparent(later + "-\xff\xfe") == later);
  CHECK(ValidTraceparent(later + std::string("-\0more", 6)) == later);
  CHECK(ValidTraceparent(later + "-" + std::string(100'000, 'x')) == later);
  CHECK(ValidTraceparent("").empty());
  CHECK(ValidTraceparent("\xff\xff").empty());
  CHECK(ValidTraceparent(valid + std::string(1, '\0')).empty());
  // Each byte of a valid one replaced by each that there is: what is left is valid, or nothing.
  for (size_t place = 0; place < valid.size(); ++place) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = valid;
      text[place] = static_cast<char>(byte);
      const std::string_view sound = ValidTraceparent(text);
      if (sound.empty()) continue;
      CHECK(sound.size() == 55);
      CHECK(sound.find_first_not_of("0123456789abcdef-") == std::string_view::npos);
    }
  }
}

}  // namespace
}  // namespace stockalert::trace
