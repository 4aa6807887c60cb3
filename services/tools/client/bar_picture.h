// The course of a price as a line of blocks, for people. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "services/tools/client/terminal.h"
#include "stockalert/ticker/v1/ticker.pb.h"

namespace stockalert::client {

// The closing prices from left to right, the lowest the lowest block. Where there are more bars than `columns` (at
// least 1), neighbours share a column, which shows the last of them. Prices that are no decimals are left out. `bars`
// are newest first, as ListBars has them.
std::string Sparkline(const std::vector<ticker::v1::Bar>& bars, size_t columns);

// The line, and below it from what to what it goes. Empty without bars.
std::string BarPicture(const Terminal& terminal, const std::vector<ticker::v1::Bar>& bars);

}  // namespace stockalert::client
