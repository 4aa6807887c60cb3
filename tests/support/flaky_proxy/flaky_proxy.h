// A TCP proxy on loopback that can be cut: what a database that goes away looks like to its clients.
//
// Thread-safe. One thread forwards all connections.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace stockalert::testing {

class FlakyProxy {
 public:
  // Forwards to 127.0.0.1:`upstream_port`.
  explicit FlakyProxy(int upstream_port);
  ~FlakyProxy();
  FlakyProxy(const FlakyProxy&) = delete;
  FlakyProxy& operator=(const FlakyProxy&) = delete;

  int port() const { return port_; }
  // Ends all connections, and new ones at once.
  void Cut() { cut_ = true; }
  void Mend() { cut_ = false; }
  // Takes what comes, as the kernel of a machine whose processes are frozen does, and forwards nothing until Thaw.
  void Freeze() { frozen_ = true; }
  void Thaw() { frozen_ = false; }

 private:
  struct Pair {
    int client;
    int server;
  };
  void Work();
  void EndAll();

  const int upstream_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> cut_{false};
  std::atomic<bool> frozen_{false};
  std::atomic<bool> stopping_{false};
  std::vector<Pair> pairs_;  // The thread's own.
  std::thread thread_;
};

}  // namespace stockalert::testing
