// Services may repeat in their answers what they were sent: the token, the path of the URL. Answers are stored and
// shown, secrets never. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace stockalert::notifier {

// `text` with "***" for each secret of the settings, which are the texts of at least 8 characters in
// CheckedSettings::settings that CheckedSettings::shown does not have. Of a URL, what follows the host; of a header's
// value also what follows its first word ("Bearer …").
std::string HideSecrets(std::string text, std::string_view settings, std::string_view shown);

}  // namespace stockalert::notifier
