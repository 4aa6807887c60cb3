// Makes a failing sequence small: removes pieces as long as what is left still fails (delta debugging).
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

namespace stockalert::simulation {

// `fails` is deterministic and true of `items`; the answer fails too, and without any one of its items it does not,
// unless `tries_max` runs were not enough to find that out.
template <typename T>
std::vector<T> Shrink(std::vector<T> items, const std::function<bool(const std::vector<T>&)>& fails,
                      int tries_max = 20'000) {
  for (size_t piece = std::max<size_t>(items.size() / 2, 1); tries_max > 0;) {
    bool removed = false;
    for (size_t begin = 0; begin < items.size() && tries_max > 0;) {
      std::vector<T> rest(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(begin));
      rest.insert(rest.end(), items.begin() + static_cast<std::ptrdiff_t>(std::min(begin + piece, items.size())),
                  items.end());
      --tries_max;
      if (fails(rest)) {
        items = std::move(rest);
        removed = true;
      } else {
        begin += piece;
      }
    }
    if (piece > 1) {
      piece /= 2;
    } else if (!removed) {
      break;
    }
  }
  return items;
}

}  // namespace stockalert::simulation
