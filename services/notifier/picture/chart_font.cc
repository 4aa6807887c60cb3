#include "services/notifier/picture/chart_font.h"

#include <cairo-ft.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"

namespace stockalert::notifier {
namespace {

// What a face of cairo's needs as long as cairo does, which keeps faces in a cache of its own.
struct OpenFont {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  ~OpenFont() {
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }
};

const cairo_user_data_key_t kOpenFontKey = {};

}  // namespace

absl::StatusOr<ChartFont::Face> ChartFont::LoadFace(const std::string& path) {
  auto font = std::make_unique<OpenFont>();
  if (FT_Init_FreeType(&font->library) != 0 || FT_New_Face(font->library, path.c_str(), 0, &font->face) != 0) {
    return absl::NotFoundError(
        absl::StrCat("the font ", path, " cannot be read: install Debian's package fonts-dejavu-core"));
  }
  Face face(cairo_ft_font_face_create_for_ft_face(font->face, 0), &cairo_font_face_destroy);
  if (cairo_font_face_set_user_data(face.get(), &kOpenFontKey, font.get(), [](void* owned) {
        delete static_cast<OpenFont*>(owned);
      }) != CAIRO_STATUS_SUCCESS) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for the font ", path));
  }
  font.release();
  return face;
}

absl::StatusOr<ChartFont> ChartFont::Load(const std::string& folder) {
  STOCKALERT_ASSIGN_OR_RETURN(Face regular, LoadFace(absl::StrCat(folder, "/DejaVuSans.ttf")));
  STOCKALERT_ASSIGN_OR_RETURN(Face bold, LoadFace(absl::StrCat(folder, "/DejaVuSans-Bold.ttf")));
  return ChartFont(std::move(regular), std::move(bold));
}

}  // namespace stockalert::notifier
