// The part of a trading date that a quote was made in.
#pragma once

#include <cstdint>

namespace stockalert::market {

enum class Session : uint8_t { kPre, kRegular, kPost, kClosed };

}  // namespace stockalert::market
