#include "tests/support/hostile_receiver/hostile_receiver.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace stockalert::testing {
namespace {

constexpr size_t kReadMax = 1 << 20;

void Must(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fatal: the hostile receiver: %s\n", what);
  std::abort();
}

SSL_CTX* NewTls(const Identity& identity) {
  SSL_CTX* tls = SSL_CTX_new(TLS_server_method());
  Must(tls != nullptr, "SSL_CTX_new");
  BIO* certificate = BIO_new_mem_buf(identity.certificate.data(), static_cast<int>(identity.certificate.size()));
  X509* x509 = PEM_read_bio_X509(certificate, nullptr, nullptr, nullptr);
  BIO* key = BIO_new_mem_buf(identity.key.data(), static_cast<int>(identity.key.size()));
  EVP_PKEY* private_key = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
  Must(x509 != nullptr && private_key != nullptr, "no certificate or no key");
  Must(SSL_CTX_use_certificate(tls, x509) == 1 && SSL_CTX_use_PrivateKey(tls, private_key) == 1, "the identity");
  X509_free(x509);
  EVP_PKEY_free(private_key);
  BIO_free(certificate);
  BIO_free(key);
  return tls;
}

}  // namespace

std::string ReceivedRequest::Header(const std::string& name) const {
  for (const absl::string_view line : absl::StrSplit(head, "\r\n")) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(": ", 1));
    if (parts.size() == 2 && absl::AsciiStrToLower(parts[0]) == name) return std::string(parts[1]);
  }
  return "";
}

class HostileReceiver::Connection final : public ReceiverConnection {
 public:
  Connection(HostileReceiver& receiver, int file) : receiver_(receiver), file_(file) {}
  ~Connection() override {
    if (tls_ != nullptr) SSL_free(tls_);
    close(file_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False: no TLS came about.
  bool Greet() {
    if (receiver_.tls_ == nullptr) return true;
    tls_ = SSL_new(static_cast<SSL_CTX*>(receiver_.tls_));
    SSL_set_fd(tls_, file_);
    return SSL_accept(tls_) == 1;
  }
  // Wakes whoever reads or writes.
  void Interrupt() { shutdown(file_, SHUT_RDWR); }

  std::optional<ReceivedRequest> Read() override {
    size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!More()) return std::nullopt;
    }
    ReceivedRequest request;
    request.head = buffer_.substr(0, end);
    size_t length = 0;
    if (!absl::SimpleAtoi(request.Header("content-length"), &length)) length = 0;
    while (buffer_.size() < end + 4 + length) {
      if (!More()) return std::nullopt;
    }
    request.body = buffer_.substr(end + 4, length);
    buffer_.erase(0, end + 4 + length);
    base::MutexLock lock(receiver_.mutex_);
    receiver_.requests_.push_back(request);
    return request;
  }

  bool Write(const std::string& bytes) override {
    size_t done = 0;
    while (done < bytes.size()) {
      const size_t left = bytes.size() - done;
      const ssize_t wrote = tls_ != nullptr ? SSL_write(tls_, bytes.data() + done, static_cast<int>(left))
                                            : send(file_, bytes.data() + done, left, MSG_NOSIGNAL);
      if (wrote <= 0) return false;
      done += static_cast<size_t>(wrote);
      receiver_.bytes_written_ += wrote;
    }
    return true;
  }

  void Reset() override {
    const linger now{1, 0};
    setsockopt(file_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    // Where this was the last one, closing sends it; the number stays taken until the destructor's close.
    const int empty = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    dup2(empty, file_);
    close(empty);
  }

  void AwaitEnd() override {
    while (More()) buffer_.clear();
  }

 private:
  bool More() {
    char bytes[4096];
    const ssize_t got = tls_ != nullptr ? SSL_read(tls_, bytes, sizeof(bytes)) : recv(file_, bytes, sizeof(bytes), 0);
    if (got <= 0 || buffer_.size() > kReadMax) return false;
    buffer_.append(bytes, static_cast<size_t>(got));
    return true;
  }

  HostileReceiver& receiver_;
  const int file_;
  SSL* tls_ = nullptr;
  std::string buffer_;
};

HostileReceiver::HostileReceiver(Behaviour behaviour, std::optional<Identity> identity)
    : behaviour_(std::move(behaviour)) {
  if (identity) tls_ = NewTls(*identity);
  std::signal(SIGPIPE, SIG_IGN);
  Listen();
  accepting_ = std::thread([this] { Accept(); });
}

void HostileReceiver::Listen() {
  // The port that the first address gives may be taken at the second.
  for (int attempt = 0; attempt < 20; ++attempt) {
    bool bound = true;
    port_ = 0;
    for (size_t i = 0; i < listeners_.size() && bound; ++i) {
      listeners_[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<uint32_t>(i));
      address.sin_port = htons(static_cast<uint16_t>(port_));
      bound = bind(listeners_[i], reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
              listen(listeners_[i], 128) == 0;
      socklen_t size = sizeof(address);
      getsockname(listeners_[i], reinterpret_cast<sockaddr*>(&address), &size);
      port_ = ntohs(address.sin_port);
    }
    if (bound) return;
    for (int& listener : listeners_) close(std::exchange(listener, -1));
  }
  Must(false, "no port is free");
}

HostileReceiver::~HostileReceiver() {
  stopping_ = true;
  for (const int listener : listeners_) shutdown(listener, SHUT_RDWR);
  accepting_.join();
  {
    base::MutexLock lock(mutex_);
    for (const auto& connection : open_) connection->Interrupt();
  }
  for (std::thread& thread : threads_) thread.join();
  for (const int listener : listeners_) close(listener);
  if (tls_ != nullptr) SSL_CTX_free(static_cast<SSL_CTX*>(tls_));
}

std::string HostileReceiver::Url(const std::string& scheme, const std::string& host) const {
  return absl::StrCat(scheme, "://", host, ":", port_, "/hook?token=secret");
}

std::vector<ReceivedRequest> HostileReceiver::requests() const {
  base::MutexLock lock(mutex_);
  return requests_;
}

void HostileReceiver::Accept() {
  while (!stopping_) {
    pollfd waits[] = {{listeners_[0], POLLIN, 0}, {listeners_[1], POLLIN, 0}};
    poll(waits, 2, 1000);
    const int file = accept4(listeners_[waits[0].revents != 0 ? 0 : 1], nullptr, nullptr, SOCK_CLOEXEC);
    if (file < 0) continue;
    ++connections_;
    base::MutexLock lock(mutex_);
    open_.push_back(std::make_unique<Connection>(*this, file));
    const auto place = std::prev(open_.end());
    threads_.emplace_back([this, place] {
      Serve(**place);
      base::MutexLock ended(mutex_);
      open_.erase(place);
    });
  }
}

std::optional<int> HostileReceiver::PeerReceiveBufferBytes() const {
  constexpr int kFilesMax = 1024;
  for (int file = 0; file < kFilesMax; ++file) {
    sockaddr_in peer = {};
    socklen_t length = sizeof(peer);
    if (getpeername(file, reinterpret_cast<sockaddr*>(&peer), &length) != 0 || ntohs(peer.sin_port) != port_) continue;
    int bytes = 0;
    length = sizeof(bytes);
    if (getsockopt(file, SOL_SOCKET, SO_RCVBUF, &bytes, &length) == 0) return bytes;
  }
  return std::nullopt;
}

void HostileReceiver::Serve(Connection& connection) {
  if (connection.Greet()) behaviour_(connection);
}

HostileReceiver::Behaviour Answers(const std::string& answer) {
  return [answer](ReceiverConnection& connection) {
    while (connection.Read() && connection.Write(answer)) {
    }
  };
}

std::string Answer(int status, const std::string& headers, const std::string& body) {
  return absl::StrCat("HTTP/1.1 ", status, " Said\r\n", headers, "Content-Length: ", body.size(), "\r\n\r\n", body);
}

}  // namespace stockalert::testing
