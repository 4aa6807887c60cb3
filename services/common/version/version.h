// Which build this is. Thread-safe.
#pragma once

#include <string>

namespace stockalert::version {

// "0.1.0 (1a2b3c4)": the version and the commit that was built, or "unknown" for it.
std::string Text();

}  // namespace stockalert::version
