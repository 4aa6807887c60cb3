// What the evaluator knows of an alert, on a page for people, with a line of prices. Pure and thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "services/tools/client/terminal.h"
#include "stockalert/alert/v1/alert.pb.h"

namespace stockalert::client {

// What each line is about, and what it says; ages as of `now`.
std::vector<std::pair<std::string, Cell>> PageOf(const alert::v1::AlertExplanation& explanation, absl::Time now);

// The last price (●), what it is measured from (◆), and the nearest prices that trigger (▲ above, ▼ below) or make
// ready (△ ▽) on one line, to scale, and below it what each is. Heavy where a price triggers. Empty where there is no
// price to show.
std::string ExplanationPicture(const Terminal& terminal, const alert::v1::AlertExplanation& explanation);

}  // namespace stockalert::client
