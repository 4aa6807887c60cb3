// Transfers of libcurl, many at once, on one event loop (its multi interface), whatever their protocol.
//
// Thread-safe. One thread of its own. One time limit covers a whole transfer, from Start to its end: waiting for its
// turn, resolving, connecting, TLS, and a peer that only trickles. Certificates are verified, no proxy of the
// environment is used. Transfers only wait for others of their lane: up to `in_flight_max` run and `waiting_max` wait;
// more are refused. Connections are kept for later transfers to the same host.
#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace stockalert::transfer {

struct LoopOptions {
  // Limits of the whole transfer, and of its connection (name, TCP, TLS), which is at most the former.
  absl::Duration timeout = absl::Seconds(5);
  absl::Duration connect_timeout = absl::InfiniteDuration();
  size_t lanes = 1;
  size_t in_flight_max = 16;
  size_t waiting_max = 64;
  // How long a resolved address is used.
  absl::Duration name_cache_time = absl::Seconds(60);
  // PEM of the authorities that are trusted; empty: the system's.
  std::string authorities_file = {};
  // Called on the loop's thread in each round, at least once a second; must be quick.
  std::function<void()> on_turn = {};
  // Called when no transfer is left and the kept connections are about to be closed.
  std::function<void()> on_close = {};
};

// One transfer. Either Drop is called, or Begin, and then End or Drop; each once, and quick. They may call Start.
class Transfer {
 public:
  virtual ~Transfer() = default;
  // Sets what is transferred and how; what the loop's options say is set. On the loop's thread, as End is.
  virtual void Begin(CURL* easy) = 0;
  virtual void End(CURL* easy, CURLcode result) = 0;
  // RESOURCE_EXHAUSTED: too many wait; within Start. DEADLINE_EXCEEDED: no turn in time. CANCELLED: the loop is
  // being destroyed.
  virtual void Drop(const absl::Status& status) = 0;
};

class TransferLoop {
 public:
  explicit TransferLoop(const LoopOptions& options);
  // Every transfer has ended or was dropped before it returns.
  ~TransferLoop();
  TransferLoop(const TransferLoop&) = delete;
  TransferLoop& operator=(const TransferLoop&) = delete;

  // `lane`: below options.lanes.
  void Start(std::unique_ptr<Transfer> transfer, size_t lane);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Before any other use of libcurl.
void InitOnce();
// Ends the process: a call of libcurl that can fail for want of memory alone has failed.
void Must(bool ok, const char* what);
// For people who run the server at the other end, too; without host and URL.
std::string Describe(CURLcode result);
// A socket that the kernel gives up if its peer is gone, and for which it keeps about so many bytes that were not read
// yet; 0: what it finds right, which may be some MB.
curl_socket_t OpenSocket(const curl_sockaddr& peer, int receive_buffer_bytes = 0);

}  // namespace stockalert::transfer
