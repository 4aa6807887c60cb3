// W3C trace context: who caused this work, carried explicitly from call to call and, in Kafka headers, from quote to
// notification.
//
// A plain value; pure but for the random ids, and thread-safe. What cannot be parsed begins a new trace, it is never an
// error.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stockalert::trace {

// The gRPC metadata key and Kafka header.
inline constexpr char kTraceparent[] = "traceparent";

struct Context {
  std::string trace_id;  // 32 lower-case hexadecimal digits, not all zero.
  std::string span_id;   // 16 of them.
  bool sampled = true;

  // "00-<trace_id>-<span_id>-01".
  std::string Traceparent() const;
  // The same trace, a new span.
  Context Child() const;
};

Context NewRoot();
// None where `traceparent` is not valid.
std::optional<Context> Parse(std::string_view traceparent);
// A child of what came in, or a new root.
Context Continue(std::string_view traceparent);

}  // namespace stockalert::trace
