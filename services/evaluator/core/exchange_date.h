// The trading date, as the fold calls it; services/common/market/exchange_date.h has it.
#pragma once

#include "services/common/market/exchange_date.h"

namespace stockalert::evaluator {

using market::ExchangeDay;
using market::ExchangeDayOf;
using market::kNoDate;

}  // namespace stockalert::evaluator
