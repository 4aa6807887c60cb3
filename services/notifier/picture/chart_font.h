// The letters of pictures: DejaVu Sans, from the files of Debian's fonts-dejavu-core. They are named, not searched for
// by fontconfig, so that a picture looks the same on every machine. Thread-safe.
#pragma once

#include <cairo.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace stockalert::notifier {

inline constexpr char kFontFolder[] = "/usr/share/fonts/truetype/dejavu";

class ChartFont {
 public:
  // NOT_FOUND: one of the files is missing or no font; the message says what to install.
  static absl::StatusOr<ChartFont> Load(const std::string& folder = kFontFolder);

  cairo_font_face_t* regular() const { return regular_.get(); }
  cairo_font_face_t* bold() const { return bold_.get(); }

 private:
  using Face = std::unique_ptr<cairo_font_face_t, decltype(&cairo_font_face_destroy)>;
  static absl::StatusOr<Face> LoadFace(const std::string& path);
  ChartFont(Face regular, Face bold) : regular_(std::move(regular)), bold_(std::move(bold)) {}

  Face regular_;
  Face bold_;
};

}  // namespace stockalert::notifier
