// A PNG, decoded by cairo.
#pragma once

#include <string>
#include <vector>

namespace stockalert::testing {

class Png {
 public:
  // Throws if it is none.
  explicit Png(const std::string& bytes);

  int width() const { return width_; }
  int height() const { return height_; }
  // 0xRRGGBB.
  unsigned At(int x, int y) const;
  // How many pixels of a rectangle have that very colour.
  int Count(unsigned color, int left, int top, int right, int bottom) const;
  int Count(unsigned color) const { return Count(color, 0, 0, width_, height_); }

 private:
  int width_ = 0;
  int height_ = 0;
  std::vector<unsigned> pixels_;
};

}  // namespace stockalert::testing
