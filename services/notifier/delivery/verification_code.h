// Codes by which users prove that they read a destination. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "services/common/base/ids.h"

namespace stockalert::notifier {

// How long a code verifies a destination, from its making on.
inline constexpr absl::Duration kCodeLife = absl::Minutes(30);

// Eight random letters and digits, none of which looks like another: 39 bits.
std::string NewCode(base::IdSource& ids);
// As people type or paste it: without spaces, ends of lines and hyphens, in upper case.
std::string NormalizeCode(std::string_view typed);

}  // namespace stockalert::notifier
