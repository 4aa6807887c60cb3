#include "services/tools/client/terminal.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace stockalert::client {
namespace {

const char* CodeOf(Colour colour) {
  switch (colour) {
    case Colour::kNone:
      return "";
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kCyan:
      return "\x1b[36m";
    case Colour::kDim:
      return "\x1b[2m";
    case Colour::kBold:
      return "\x1b[1m";
  }
  return "";
}

}  // namespace

std::string Terminal::Paint(std::string_view text, Colour colour) const {
  if (!colours || colour == Colour::kNone || text.empty()) return std::string(text);
  return CodeOf(colour) + std::string(text) + "\x1b[0m";
}

void Terminal::PrintJson(const google::protobuf::Message& message) const {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  // Messages of our own protos always have a JSON form.
  if (google::protobuf::util::MessageToJsonString(message, &text, options).ok()) out << text << '\n' << std::flush;
}

void Terminal::Warn(const std::string& text) const {
  if (json) {
    err << nlohmann::json{{"warning", {{"message", text}}}}.dump(-1, ' ', false,
                                                                 nlohmann::json::error_handler_t::replace)
        << '\n';
  } else {
    err << "stockalert: " << Clean(text) << '\n';
  }
}

std::string Clean(std::string_view text) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80             ? 1
                          : (lead & 0xe0) == 0xc0 ? 2
                          : (lead & 0xf0) == 0xe0 ? 3
                          : (lead & 0xf8) == 0xf0 ? 4
                                                  : 0;
    bool sound = length > 0 && i + length <= text.size();
    for (size_t k = 1; sound && k < length; ++k) sound = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    if (!sound) {
      clean.push_back('?');
      ++i;
      continue;
    }
    // C0, DEL and C1 (U+0080 to U+009F).
    const bool control =
        lead < 0x20 || lead == 0x7f || (length == 2 && lead == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0);
    if (control) {
      clean.push_back(' ');
    } else {
      clean.append(text.substr(i, length));
    }
    i += length;
  }
  return clean;
}

size_t WidthOf(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string Cut(std::string_view text, size_t width) {
  if (WidthOf(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t end = 0;
  for (size_t shown = 0; end < text.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (begins && ++shown == width) break;
  }
  return std::string(text.substr(0, end)) + "…";
}

Table::Table(const std::vector<std::string>& columns) {
  for (const std::string& name : columns) {
    const bool right = !name.empty() && name.front() == '>';
    const bool elastic = !name.empty() && name.front() == '~';
    columns_.push_back({right || elastic ? name.substr(1) : name, right, elastic});
  }
}

void Table::Add(std::vector<Cell> row) {
  row.resize(columns_.size(), Cell(""));
  for (Cell& cell : row) cell.text = Clean(cell.text);
  rows_.push_back(std::move(row));
}

std::vector<size_t> Table::WidthsFor(const Terminal& terminal) const {
  // Less tells nothing any more: better let the terminal break the line.
  constexpr size_t kWidthMin = 8;
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    widths.push_back(WidthOf(columns_[i].name));
    for (const auto& row : rows_) widths[i] = std::max(widths[i], WidthOf(row[i].text));
  }
  size_t total = 2 * (widths.size() - 1);
  for (const size_t width : widths) total += width;
  for (; terminal.columns > 0 && total > terminal.columns; --total) {
    size_t* widest = nullptr;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const bool gives_way = columns_[i].elastic && widths[i] > std::max(kWidthMin, WidthOf(columns_[i].name));
      if (gives_way && (widest == nullptr || widths[i] > *widest)) widest = &widths[i];
    }
    if (widest == nullptr) break;
    --*widest;
  }
  return widths;
}

void Table::PrintRow(const Terminal& terminal, const std::vector<Cell>& row, const std::vector<size_t>& widths) const {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    const std::string shown = Cut(row[i].text, widths[i]);
    const std::string pad(widths[i] - WidthOf(shown), ' ');
    const std::string text = terminal.Paint(shown, row[i].colour);
    if (i > 0) line += "  ";
    line += columns_[i].right ? pad + text : text + (i + 1 < row.size() ? pad : "");
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  terminal.out << line << '\n';
}

void Table::Print(const Terminal& terminal) const {
  const std::vector<size_t> widths = WidthsFor(terminal);
  std::vector<Cell> heading;
  for (const Column& column : columns_) heading.emplace_back(column.name, Colour::kBold);
  PrintRow(terminal, heading, widths);
  for (const auto& row : rows_) PrintRow(terminal, row, widths);
  terminal.out << std::flush;
}

}  // namespace stockalert::client
