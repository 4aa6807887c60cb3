// A delivery's attempts on a line of time, for people. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "services/tools/client/terminal.h"
#include "stockalert/notification/v1/destination.pb.h"

namespace stockalert::client {

// A mark on the line: its column, its sign, and its time after the first one.
struct AttemptMark {
  size_t column = 0;
  std::string sign;
  Colour colour = Colour::kNone;
  std::string label;  // "5s", "2h"; of the first "0".
};

// The attempts of GetDelivery and, where it is queued, the next one, on a line of `columns` columns (at least 20),
// oldest first. The pauses grow from seconds to a day, so the line is of the logarithm of the time: what would lie in
// one column stands side by side while there is room, and the last of it stands for all where there is none.
std::vector<AttemptMark> MarksOf(const notification::v1::Delivery& delivery, size_t columns);

// Three lines: the marks, the times below them as far as they fit, and what the signs mean. Empty without an attempt.
std::string AttemptPicture(const Terminal& terminal, const notification::v1::Delivery& delivery);

}  // namespace stockalert::client
