#include "services/common/net/port_holder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"

namespace stockalert::net {
namespace {

// A line of /proc/net/tcp or tcp6.
struct Socket {
  bool v6 = false;
  std::string local_address;  // Hexadecimal, as in the file.
  uint64_t local_port = 0;
  std::string peer;  // "127.0.0.1:5432".
  bool listens = false;
  uint64_t uid = 0;
  uint64_t inode = 0;
};

std::optional<uint64_t> ParseNumber(std::string_view text, int base) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Each word of 32 bits stands there as the machine has it.
std::string AddressText(const std::string& hex, bool v6) {
  std::array<uint32_t, 4> words{};
  for (size_t word = 0; word < (v6 ? 4U : 1U); ++word) {
    const auto number = ParseNumber(std::string_view(hex).substr(word * 8, 8), 16);
    if (!number) return "?";
    words[word] = static_cast<uint32_t>(*number);
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(v6 ? AF_INET6 : AF_INET, words.data(), text.data(), text.size());
  return v6 ? absl::StrCat("[", text.data(), "]") : text.data();
}

std::optional<Socket> ParseLine(const std::string& line, bool v6) {
  // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
  std::istringstream words(line);
  std::string place, local, remote, state, queues, timer, retransmitted, uid, timeout, inode;
  words >> place >> local >> remote >> state >> queues >> timer >> retransmitted >> uid >> timeout >> inode;
  const size_t colon = local.find(':');
  const size_t remote_colon = remote.find(':');
  if (!words || colon == std::string::npos || remote_colon == std::string::npos) return std::nullopt;
  const auto port = ParseNumber(std::string_view(local).substr(colon + 1), 16);
  const auto remote_port = ParseNumber(std::string_view(remote).substr(remote_colon + 1), 16);
  const auto uid_number = ParseNumber(uid, 10);
  const auto inode_number = ParseNumber(inode, 10);
  if (!port || !remote_port || !uid_number || !inode_number) return std::nullopt;
  Socket socket;
  socket.v6 = v6;
  socket.local_address = local.substr(0, colon);
  socket.local_port = *port;
  socket.peer = absl::StrCat(AddressText(remote.substr(0, remote_colon), v6), ":", *remote_port);
  socket.listens = state == "0A";
  socket.uid = *uid_number;
  socket.inode = *inode_number;
  return socket;
}

bool IsAny(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// Whether a socket there is in the way of one on `host`; a host that is a name is taken for any.
bool Meets(const Socket& socket, const std::string& host) {
  if (IsAny(host) || socket.local_address.find_first_not_of('0') == std::string::npos) return true;
  std::array<uint32_t, 4> words{};
  if (inet_pton(AF_INET, host.c_str(), words.data()) != 1 && inet_pton(AF_INET6, host.c_str(), words.data()) != 1)
    return true;
  const std::string own = AddressText(socket.local_address, socket.v6);
  return own == host || own == absl::StrCat("[", host, "]") || own == absl::StrCat("[::ffff:", host, "]");
}

std::vector<Socket> FindSockets(const config::Address& address) {
  std::vector<Socket> found;
  for (const bool v6 : {false, true}) {
    std::ifstream file(v6 ? "/proc/net/tcp6" : "/proc/net/tcp");
    std::string line;
    while (std::getline(file, line)) {
      const std::optional<Socket> socket = ParseLine(line, v6);
      // One without an inode belongs to no process any more: it is dying, and in nobody's way.
      if (!socket || socket->inode == 0 || socket->local_port != static_cast<uint64_t>(address.port)) continue;
      if (Meets(*socket, address.host)) found.push_back(*socket);
    }
  }
  return found;
}

// "process 4711 (postgres)", or whose it is where nobody may see more.
std::string DescribeOwner(const Socket& socket) {
  const std::string wanted = absl::StrCat("socket:[", socket.inode, "]");
  std::error_code error;
  for (const auto& process : std::filesystem::directory_iterator("/proc", error)) {
    if (!ParseNumber(process.path().filename().string(), 10)) continue;
    for (const auto& file : std::filesystem::directory_iterator(process.path() / "fd", error)) {
      if (std::filesystem::read_symlink(file.path(), error) != wanted) continue;
      std::ifstream name_file(process.path() / "comm");
      std::string name;
      std::getline(name_file, name);
      return absl::StrCat("process ", process.path().filename().string(), " (", name, ")");
    }
  }
  return absl::StrCat("a process of the user with the number ", socket.uid);
}

}  // namespace

std::string DescribeHolder(const config::Address& address) {
  const std::vector<Socket> sockets = FindSockets(address);
  for (const Socket& socket : sockets) {
    if (socket.listens) return absl::StrCat(DescribeOwner(socket), " listens there");
  }
  for (const Socket& socket : sockets)
    return absl::StrCat(DescribeOwner(socket), " has a connection from there to ", socket.peer);
  return "nobody who can be seen has it";
}

}  // namespace stockalert::net
