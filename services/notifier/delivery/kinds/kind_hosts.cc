#include "services/notifier/delivery/kinds/kind_hosts.h"

#include <algorithm>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/base/abseil.h"

namespace stockalert::notifier {
namespace {

// "https://host" or "http://host:port".
bool IsOrigin(const std::string& text) {
  const size_t begin = absl::StartsWith(text, "https://") ? 8 : absl::StartsWith(text, "http://") ? 7 : 0;
  if (begin == 0 || text.size() == begin) return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(begin), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return absl::ascii_islower(byte) || absl::ascii_isdigit(byte) ||
           std::string_view("-._:[]*").find(c) != std::string_view::npos;
  });
}

std::string_view OriginOf(std::string_view url) {
  const size_t host = url.find("://");
  if (host == std::string_view::npos) return {};
  return url.substr(0, url.find('/', host + 3));
}

}  // namespace

bool IsOfOrigin(std::string_view url, const std::vector<std::string>& origins) {
  const std::string_view origin = OriginOf(url);
  return std::any_of(origins.begin(), origins.end(), [&](const std::string& allowed) {
    const size_t star = allowed.find("://*.");
    if (star == std::string::npos) return origin == allowed;
    const std::string_view scheme = std::string_view(allowed).substr(0, star + 3);
    const std::string_view domain = std::string_view(allowed).substr(star + 4);
    return origin.starts_with(scheme) && origin.ends_with(domain) && origin.size() > scheme.size() + domain.size();
  });
}

absl::StatusOr<KindHosts> KindHosts::Parse(std::string_view text) {
  KindHosts hosts;
  const std::map<std::string, std::vector<std::string>*> lists = {
      {"slack", &hosts.slack}, {"discord", &hosts.discord}, {"teams", &hosts.teams}};
  const std::map<std::string, std::string*> singles = {
      {"telegram", &hosts.telegram}, {"pushover", &hosts.pushover}, {"ntfy", &hosts.ntfy}};
  std::map<std::string, std::vector<std::string>> given;
  for (const absl::string_view part : absl::StrSplit(base::ToAbsl(text), ',', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    const std::string name(absl::StripAsciiWhitespace(pair.first));
    const std::string origin(absl::StripAsciiWhitespace(pair.second));
    if (!lists.contains(name) && !singles.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", name, "\" is none of slack, discord, teams, telegram, pushover, ntfy"));
    }
    if (!IsOrigin(origin)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", origin, "\" is not an address such as https://host or http://host:port"));
    }
    given[name].push_back(origin);
  }
  for (const auto& [name, origins] : given) {
    if (const auto list = lists.find(name); list != lists.end()) {
      *list->second = origins;
    } else if (origins.size() > 1) {
      return absl::InvalidArgumentError(absl::StrCat(name, " has more than one address"));
    } else {
      *singles.at(name) = origins.front();
    }
  }
  return hosts;
}

}  // namespace stockalert::notifier
