// Status line and headers of a reply, line by line as they come, bounded. Pure; not thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace stockalert::http {

class ReplyHead {
 public:
  // All lines together, those of interim replies (100 Continue, 103 Early Hints) and trailers included.
  explicit ReplyHead(size_t bytes_max) : bytes_max_(bytes_max) {}

  // `line`: with its end, a status line or a header; an empty one ends a head. False: too many bytes.
  bool AddLine(std::string_view line);

  // Whether the head of the final reply is complete.
  bool whole() const { return whole_; }
  // Of the final reply, or of the interim one that came last. Names in lower case; of several values the last.
  const std::map<std::string, std::string>& headers() const { return headers_; }

 private:
  const size_t bytes_max_;
  size_t bytes_ = 0;
  bool interim_ = false;
  bool whole_ = false;
  std::map<std::string, std::string> headers_;
};

}  // namespace stockalert::http
