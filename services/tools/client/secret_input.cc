#include "services/tools/client/secret_input.h"

#include <termios.h>
#include <unistd.h>

#include <fstream>
#include <istream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace stockalert::client {
namespace {

constexpr size_t kFileBytesMax = size_t{64} * 1024;

// What is typed while it lives is not shown, and is no signal: one would leave the terminal so.
class Unseen {
 public:
  explicit Unseen(bool is_terminal) : was_(is_terminal && tcgetattr(STDIN_FILENO, &before_) == 0) {
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    if (was_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  ~Unseen() {
    if (was_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  const bool was_;
};

}  // namespace

std::string ReadHiddenLine(const Surroundings& surroundings, const std::string& what) {
  if (surroundings.in_is_terminal) surroundings.err << what << ": " << std::flush;
  std::string line;
  {
    const Unseen unseen(surroundings.in_is_terminal);
    std::getline(surroundings.in, line);
  }
  if (surroundings.in_is_terminal) surroundings.err << '\n';
  return std::string(absl::StripAsciiWhitespace(line));
}

absl::StatusOr<std::string> ReadFile(const Surroundings& surroundings, const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return absl::InvalidArgumentError(absl::StrCat(path, " cannot be read"));
  }
  std::istream& in = path == "-" ? surroundings.in : file;
  std::string text(kFileBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kFileBytesMax) return absl::InvalidArgumentError(absl::StrCat(path, " has more than 64 KiB"));
  return text;
}

}  // namespace stockalert::client
