#include "services/common/version/version.h"

namespace stockalert::version {

std::string Text() { return STOCKALERT_VERSION " (" STOCKALERT_COMMIT ")"; }

}  // namespace stockalert::version
