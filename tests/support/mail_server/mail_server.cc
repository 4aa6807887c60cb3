#include "tests/support/mail_server/mail_server.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "absl/strings/str_cat.h"

namespace stockalert::testing {

MailServer::MailServer(const MailServerOptions& options) { Start(options); }

MailServer::~MailServer() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  if (input_ >= 0) close(input_);
  if (reader_.joinable()) reader_.join();
}

void MailServer::Start(const MailServerOptions& options) {
  std::vector<std::string> arguments = {"/usr/bin/python3", STOCKALERT_MAIL_SERVER,
                                        absl::StrCat("--port=", options.port)};
  if (options.identity) {
    files_.emplace(std::map<std::string, std::string>{{"cert.pem", options.identity->certificate},
                                                      {"key.pem", options.identity->key}});
    arguments.push_back("--cert=" + files_->Path("cert.pem"));
    arguments.push_back("--key=" + files_->Path("key.pem"));
  }
  if (options.implicit_tls) arguments.push_back("--implicit");
  if (!options.user.empty()) {
    arguments.push_back("--user=" + options.user);
    arguments.push_back("--password=" + options.password);
  }
  std::vector<char*> raw;
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  std::array<int, 2> in{}, out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  const int failed = posix_spawn(&process_, raw[0], &actions, nullptr, raw.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  input_ = in[1];
  if (failed != 0) throw std::runtime_error("the mail server cannot be started");
  reader_ = std::thread([this, file = out[0]] { Read(file); });
  base::MutexLock lock(mutex_);
  changed_.Wait(lock, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return port_ > 0 || ended_; });
  if (port_ == 0) throw std::runtime_error("the mail server has ended: is python3-aiosmtpd installed?");
}

void MailServer::Read(int file) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t size = 0; (size = read(file, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(size));
    for (size_t end = 0; (end = text.find('\n')) != std::string::npos;) {
      HandleLine(text.substr(0, end));
      text.erase(0, end + 1);
    }
  }
  close(file);
  base::MutexLock lock(mutex_);
  ended_ = true;
  changed_.NotifyAll();
}

void MailServer::HandleLine(const std::string& line) {
  base::MutexLock lock(mutex_);
  if (line.rfind("port ", 0) == 0) {
    port_ = std::stoi(line.substr(5));
    changed_.NotifyAll();
    return;
  }
  nlohmann::json event = nlohmann::json::parse(line);
  if (event["event"] == "connect") ++connections_;
  if (event["event"] == "mail") mails_.push_back(std::move(event));
}

int MailServer::connections() const {
  base::MutexLock lock(mutex_);
  return connections_;
}

std::vector<nlohmann::json> MailServer::mails() const {
  base::MutexLock lock(mutex_);
  return mails_;
}

std::string HeaderOf(const nlohmann::json& mail, const std::string& name) {
  std::optional<std::string> value;
  for (const auto& header : mail["headers"]) {
    if (header[0] != name) continue;
    if (value) throw std::runtime_error(absl::StrCat(name, " is there twice"));
    value = header[1].get<std::string>();
  }
  return value.value_or("");
}

}  // namespace stockalert::testing
