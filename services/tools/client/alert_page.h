// All that there is to say of an alert, on a page for people. Pure and thread-safe.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/tools/client/terminal.h"
#include "stockalert/alert/v1/alert.pb.h"
#include "stockalert/quote/v1/quote.pb.h"

namespace stockalert::client {

Colour ColourOf(alert::v1::Alert::State state);

// Why an alert is in a state that does not watch; empty for one that does.
std::string WhyNotWatching(const alert::v1::Alert& alert);

// What each line is about, and what it says. `price`: the last one of its symbol, where it is known.
std::vector<std::pair<std::string, Cell>> PageOf(const alert::v1::Alert& alert,
                                                 const std::optional<quote::v1::Quote>& price);

void PrintPage(const Terminal& terminal, const std::vector<std::pair<std::string, Cell>>& page);

}  // namespace stockalert::client
