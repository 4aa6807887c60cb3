#include "services/notifier/delivery/kinds/hide_secrets.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;

// Shorter ones are words that occur anyhow.
constexpr size_t kSecretBytesMin = 8;
constexpr char kHidden[] = "***";

std::set<std::string> TextsIn(std::string_view json) {
  std::set<std::string> texts;
  const Json parsed = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_structured()) return texts;
  const Json flat = parsed.flatten();
  for (const auto& [path, value] : flat.items()) {
    if (value.is_string()) texts.insert(value.get<std::string>());
  }
  return texts;
}

void AddSecret(std::string_view text, std::vector<std::string>& secrets) {
  if (text.size() >= kSecretBytesMin) secrets.emplace_back(text);
}

void AddSecrets(std::string_view text, std::vector<std::string>& secrets) {
  if (text.starts_with("https://") || text.starts_with("http://")) {
    const size_t path = text.find('/', text.find("://") + 3);
    if (path != std::string_view::npos) AddSecret(text.substr(path), secrets);
    return;
  }
  AddSecret(text, secrets);
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    // Whoever reads such a URL may repeat a part of it alone.
    for (const absl::string_view part :
         absl::StrSplit(base::ToAbsl(text.substr(scheme + 3)), absl::ByAnyChar("/@:?&=")))
      AddSecret(base::ToStd(part), secrets);
  }
  if (const size_t space = text.find(' '); space != std::string_view::npos) AddSecret(text.substr(space + 1), secrets);
}

}  // namespace

std::string HideSecrets(std::string text, std::string_view settings, std::string_view shown) {
  if (text.empty()) return text;
  const std::set<std::string> known = TextsIn(shown);
  std::vector<std::string> secrets;
  for (const std::string& one : TextsIn(settings)) {
    if (known.count(one) == 0) AddSecrets(one, secrets);
  }
  // The longest first, so that no rest of one is left.
  std::sort(secrets.begin(), secrets.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const std::string& secret : secrets) absl::StrReplaceAll({{secret, kHidden}}, &text);
  return text;
}

}  // namespace stockalert::notifier
