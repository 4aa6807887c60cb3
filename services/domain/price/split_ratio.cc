#include "services/domain/price/split_ratio.h"

#include <algorithm>

#include "services/domain/price/decimal.h"

namespace stockalert::price {

int64_t ScaleMicros(int64_t micros, SplitRatio ratio) {
  if (micros == 0) return 0;
  const __int128 product = static_cast<__int128>(micros) * ratio.denominator;
  __int128 scaled = product / ratio.numerator;
  const __int128 twice_rest = 2 * (product % ratio.numerator);
  if (twice_rest > ratio.numerator || (twice_rest == ratio.numerator && scaled % 2 != 0)) ++scaled;
  return static_cast<int64_t>(std::clamp<__int128>(scaled, 1, kMaxPriceMicros));
}

}  // namespace stockalert::price
