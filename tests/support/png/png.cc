#include "tests/support/png/png.h"

#include <cairo.h>

#include <cstring>
#include <stdexcept>
#include <string_view>

namespace stockalert::testing {
namespace {

cairo_status_t Read(void* source, unsigned char* bytes, unsigned size) {
  std::string_view& left = *static_cast<std::string_view*>(source);
  if (left.size() < size) return CAIRO_STATUS_READ_ERROR;
  std::memcpy(bytes, left.data(), size);
  left.remove_prefix(size);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

Png::Png(const std::string& bytes) {
  std::string_view left = bytes;
  cairo_surface_t* const surface = cairo_image_surface_create_from_png_stream(&Read, &left);
  if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) throw std::runtime_error("no PNG");
  width_ = cairo_image_surface_get_width(surface);
  height_ = cairo_image_surface_get_height(surface);
  const unsigned char* const data = cairo_image_surface_get_data(surface);
  const int stride = cairo_image_surface_get_stride(surface);
  for (int y = 0; y < height_; ++y) {
    for (int x = 0; x < width_; ++x) {
      unsigned pixel = 0;
      std::memcpy(&pixel, data + y * stride + x * 4, sizeof(pixel));
      pixels_.push_back(pixel & 0xffffff);
    }
  }
  cairo_surface_destroy(surface);
}

unsigned Png::At(int x, int y) const { return pixels_.at(static_cast<size_t>(y * width_ + x)); }

int Png::Count(unsigned color, int left, int top, int right, int bottom) const {
  int found = 0;
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) found += At(x, y) == color ? 1 : 0;
  }
  return found;
}

}  // namespace stockalert::testing
