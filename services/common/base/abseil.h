// The bridge between std::string_view and Debian's Abseil, whose absl::string_view is a type of its own.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace stockalert::base {

inline absl::string_view ToAbsl(std::string_view text) { return absl::string_view(text.data(), text.size()); }
inline std::string_view ToStd(absl::string_view text) { return std::string_view(text.data(), text.size()); }

}  // namespace stockalert::base
