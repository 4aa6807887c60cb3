// What the client prints: tables for people, lines of JSON for scripts.
//
// Not thread-safe. Text that came from elsewhere is printed without its control characters, so that nobody's note can
// steer a terminal.
#pragma once

#include <google/protobuf/message.h>

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace stockalert::client {

enum class Colour { kNone, kGreen, kYellow, kRed, kCyan, kDim, kBold };

struct Cell {
  Cell(std::string cell_text) : text(std::move(cell_text)) {}  // NOLINT: a cell is mostly just its text.
  Cell(const char* cell_text) : text(cell_text) {}             // NOLINT
  Cell(std::string cell_text, Colour cell_colour) : text(std::move(cell_text)), colour(cell_colour) {}
  std::string text;
  Colour colour = Colour::kNone;
};

struct Terminal {
  std::ostream& out;
  std::ostream& err;
  bool colours = false;
  bool json = false;
  size_t columns = 0;  // 0: as many as a table wants.

  std::string Paint(std::string_view text, Colour colour) const;
  // A message as a line of JSON, in protobuf's own mapping.
  void PrintJson(const google::protobuf::Message& message) const;
  // What is worth a word and no failure: on stderr; for scripts {"warning":{"message":...}}.
  void Warn(const std::string& text) const;
};

// Rows under a heading, each column as wide as its widest cell. Columns whose name begins with '>' are aligned to the
// right. Where the terminal has not the columns for that, those whose name begins with '~' give way, the widest first,
// and end in "…" what they cut.
class Table {
 public:
  explicit Table(const std::vector<std::string>& columns);
  void Add(std::vector<Cell> row);
  void Print(const Terminal& terminal) const;
  bool empty() const { return rows_.empty(); }

 private:
  struct Column {
    std::string name;
    bool right = false, elastic = false;
  };
  // As wide as the columns may be on the terminal.
  std::vector<size_t> WidthsFor(const Terminal& terminal) const;
  void PrintRow(const Terminal& terminal, const std::vector<Cell>& row, const std::vector<size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// Without control characters; invalid UTF-8 becomes '?'.
std::string Clean(std::string_view text);
// The columns that a terminal gives the text: its code points, which is right for most scripts.
size_t WidthOf(std::string_view text);
// No wider than that.
std::string Cut(std::string_view text, size_t width);

}  // namespace stockalert::client
