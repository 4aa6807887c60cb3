// Authorities, certificates and folders of TLS files for tests. Everything is made anew at each run; nothing here is a
// secret.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace stockalert::testing {

struct Identity {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

struct Wanted {
  // By "ticker" the mesh knows whose it is.
  std::vector<std::string> dns_names = {"localhost", "ticker"};
  std::vector<std::string> ip_addresses = {"127.0.0.1"};
  absl::Time begin = absl::Now() - absl::Hours(1);
  absl::Time end = absl::Now() + absl::Hours(24);
  std::string extended_key_usage = "serverAuth,clientAuth";
};

class Authority {
 public:
  explicit Authority(const std::string& name, absl::Time end = absl::Now() + absl::Hours(24));
  ~Authority();

  const std::string& certificate() const { return certificate_; }
  Identity Issue(const Wanted& wanted = {}) const;

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
  std::string certificate_;
};

// Files behind a link, as Kubernetes mounts a secret: Swap replaces all of them in one step.
class SwappedFolder {
 public:
  explicit SwappedFolder(const std::map<std::string, std::string>& files);
  ~SwappedFolder();

  std::string Path(const std::string& name) const { return (root_ / "current" / name).string(); }
  void Swap(const std::map<std::string, std::string>& files);

 private:
  std::filesystem::path root_;
  int generation_ = 0;
};

}  // namespace stockalert::testing
