#include "services/common/mail/smtp_client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/status_macros.h"
#include "services/common/mail/server_gate.h"
#include "services/common/transfer/transfer_loop.h"

namespace stockalert::mail {
namespace {

using transfer::Must;

// Shorter than servers wait for the next command (five minutes: RFC 5321, 4.5.3.2.7).
constexpr long kIdleMaxS = 20;
constexpr char kTextType[] = "text/plain; charset=utf-8";
constexpr char kHtmlType[] = "text/html; charset=utf-8";

std::string UrlOf(const SmtpOptions& options) {
  const bool is_v6 = options.host.find(':') != std::string::npos;
  return absl::StrCat(options.tls == SmtpTls::kImplicit ? "smtps://" : "smtp://", is_v6 ? "[" : "", options.host,
                      is_v6 ? "]" : "", ":", options.port);
}

// The sockets that libcurl has open. Used on the loop's thread, and when that has ended.
class OpenSockets {
 public:
  // They are used no more, and nobody waits for the answer to QUIT.
  void ShutDown() {
    for (const curl_socket_t file : files_) shutdown(file, SHUT_RDWR);
  }
  static curl_socket_t OnOpen(void* target, curlsocktype /*purpose*/, curl_sockaddr* peer) {
    const curl_socket_t file = transfer::OpenSocket(*peer);
    if (file != CURL_SOCKET_BAD) static_cast<OpenSockets*>(target)->files_.insert(file);
    return file;
  }
  static int OnClose(void* target, curl_socket_t file) {
    static_cast<OpenSockets*>(target)->files_.erase(file);
    return close(file);
  }

 private:
  std::set<curl_socket_t> files_;
};

// A list of libcurl's.
class StringList {
 public:
  StringList() = default;
  ~StringList() { curl_slist_free_all(list_); }
  StringList(const StringList&) = delete;
  StringList& operator=(const StringList&) = delete;
  void Add(const std::string& text) {
    curl_slist* longer = curl_slist_append(list_, text.c_str());
    Must(longer != nullptr, "curl_slist_append");
    list_ = longer;
  }
  curl_slist* get() const { return list_; }
  curl_slist* release() { return std::exchange(list_, nullptr); }

 private:
  curl_slist* list_ = nullptr;
};

// As PartHeaderLines has them, for each part.
struct MailHeaderLines {
  std::vector<std::string> mail;
  std::vector<std::vector<std::string>> parts;
};

absl::StatusOr<MailHeaderLines> HeaderLinesOf(const Mail& mail) {
  MailHeaderLines lines;
  STOCKALERT_ASSIGN_OR_RETURN(lines.mail, HeaderLines(mail.head));
  for (const InlinePart& part : mail.parts) {
    STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> of_part, PartHeaderLines(mail.head, part));
    lines.parts.push_back(std::move(of_part));
  }
  return lines;
}

// One mail on its way.
class SmtpTransfer final : public transfer::Transfer {
 public:
  SmtpTransfer(const SmtpOptions& options, ServerGate& gate, OpenSockets& sockets, const Mail& mail,
               const MailHeaderLines& header_lines, SmtpClient::Done done, SmtpClient::Finish finish)
      : options_(options),
        gate_(gate),
        sockets_(sockets),
        mail_(mail),
        part_header_lines_(header_lines.parts),
        done_(std::move(done)),
        finish_(std::move(finish)),
        round_(gate.round()) {
    for (const std::string& line : header_lines.mail) headers_.Add(line);
    recipients_.Add(mail.head.to);
  }
  ~SmtpTransfer() override { curl_mime_free(mime_); }

  void Begin(CURL* easy) override {
    if (finish_) finish_(mail_);
    SetServer(easy);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, mail_.head.from.c_str());
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, recipients_.get());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    SetContent(easy);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &SmtpTransfer::OnReplyLine);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &SmtpTransfer::OnBody);
    // Nothing is printed: it is how libcurl tells which commands it sends.
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, &SmtpTransfer::OnTrace);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, this);
  }

  void End(CURL* /*easy*/, CURLcode result) override {
    MailResult answer;
    answer.code = reply_.code();
    answer.reply = reply_.text();
    if (result == CURLE_OK) {
      gate_.NoteAlive();
      return done_(std::move(answer));
    }
    // libcurl 7.88 keeps a connection on which the reply to the content did not come in time; whatever came next on it
    // would be answered by that.
    sockets_.ShutDown();
    answer.outcome = JudgeReply(stage_, reply_);
    answer.error = SentenceOf(result);
    if (answer.outcome == MailOutcome::kServerFault) {
      gate_.NoteFault(round_, answer.error);
      answer.retry_after = gate_.Wait();
    } else if (reply_.code() > 0) {
      gate_.NoteAlive();
    }
    done_(std::move(answer));
  }

  void Drop(const absl::Status& status) override {
    done_({.outcome = MailOutcome::kNotTried, .error = std::string(base::ToStd(status.message()))});
  }

 private:
  void SetServer(CURL* easy) {
    curl_easy_setopt(easy, CURLOPT_URL, UrlOf(options_).c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_USE_SSL,
                     static_cast<long>(options_.tls == SmtpTls::kNone ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    if (!options_.user.empty()) {
      curl_easy_setopt(easy, CURLOPT_USERNAME, options_.user.c_str());
      curl_easy_setopt(easy, CURLOPT_PASSWORD, options_.password.c_str());
    }
    // Of the answer to QUIT, too.
    curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT,
                     static_cast<long>(absl::ToInt64Seconds(options_.timeout) + 1));
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, kIdleMaxS);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &OpenSockets::OnOpen);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &sockets_);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &OpenSockets::OnClose);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, &sockets_);
  }

  // The same text twice, the better one last (RFC 2046, 5.1.4).
  void SetContent(CURL* easy) {
    mime_ = NewParts(easy);
    curl_mime* both = NewParts(easy);
    AddText(both, mail_.text, kTextType);
    const bool alone =
        std::all_of(mail_.parts.begin(), mail_.parts.end(), [](const auto& part) { return part.bytes.empty(); });
    if (alone) {
      AddText(both, mail_.html, kHtmlType);
    } else {
      AddHtmlWithParts(easy, both);
    }
    AddParts(mime_, both, "multipart/alternative");
    curl_easy_setopt(easy, CURLOPT_MIMEPOST, mime_);
  }

  // The HTML first, which the others belong to (RFC 2387).
  void AddHtmlWithParts(CURL* easy, curl_mime* parts) {
    curl_mime* related = NewParts(easy);
    AddText(related, mail_.html, kHtmlType);
    for (size_t i = 0; i < mail_.parts.size(); ++i) {
      if (!mail_.parts[i].bytes.empty()) AddInline(related, mail_.parts[i], part_header_lines_.at(i));
    }
    AddParts(parts, related, "multipart/related; type=\"text/html\"");
  }

  static curl_mime* NewParts(CURL* easy) {
    curl_mime* parts = curl_mime_init(easy);
    Must(parts != nullptr, "curl_mime_init");
    return parts;
  }

  static void AddParts(curl_mime* parts, curl_mime* inner, const char* type) {
    curl_mimepart* part = curl_mime_addpart(parts);
    Must(part != nullptr && curl_mime_subparts(part, inner) == CURLE_OK && curl_mime_type(part, type) == CURLE_OK,
         "curl_mime_subparts");
  }

  static void AddInline(curl_mime* parts, const InlinePart& given, const std::vector<std::string>& header_lines) {
    StringList headers;
    for (const std::string& line : header_lines) headers.Add(line);
    curl_mimepart* part = curl_mime_addpart(parts);
    Must(part != nullptr && curl_mime_data(part, given.bytes.data(), given.bytes.size()) == CURLE_OK &&
             curl_mime_type(part, given.type.c_str()) == CURLE_OK && curl_mime_encoder(part, "base64") == CURLE_OK &&
             curl_mime_headers(part, headers.release(), /*take_ownership=*/1) == CURLE_OK,
         "curl_mime_addpart");
  }

  static void AddText(curl_mime* parts, const std::string& text, const char* type) {
    curl_mimepart* part = curl_mime_addpart(parts);
    Must(part != nullptr && curl_mime_data(part, text.data(), text.size()) == CURLE_OK &&
             curl_mime_type(part, type) == CURLE_OK && curl_mime_encoder(part, "quoted-printable") == CURLE_OK,
         "curl_mime_addpart");
  }

  std::string SentenceOf(CURLcode result) const {
    if (reply_.code() >= 400) return absl::StrCat("the mail server answered ", reply_.code(), " ", reply_.text());
    switch (result) {
      case CURLE_OPERATION_TIMEDOUT:
        return absl::StrCat("the mail server did not answer within ", absl::FormatDuration(options_.timeout),
                            ", or took no connection within ", absl::FormatDuration(options_.connect_timeout));
      case CURLE_USE_SSL_FAILED:
        return "the mail server does not offer STARTTLS";
      case CURLE_LOGIN_DENIED:
        return "the mail server offers no way to log in that is known here";
      default:
        return absl::StrCat("the mail server: ", transfer::Describe(result));
    }
  }

  static size_t OnReplyLine(char* data, size_t size, size_t count, void* target) {
    SmtpTransfer& self = *static_cast<SmtpTransfer*>(target);
    if (!self.leaving_) self.reply_.AddLine(std::string_view(data, size * count));
    return size * count;
  }

  static size_t OnBody(char* /*data*/, size_t size, size_t count, void* /*target*/) { return size * count; }

  static int OnTrace(CURL* /*easy*/, curl_infotype type, char* data, size_t size, void* target) {
    SmtpTransfer& self = *static_cast<SmtpTransfer*>(target);
    if (type != CURLINFO_HEADER_OUT) return 0;
    const std::string_view command(data, size);
    if (command.starts_with("QUIT\r\n")) {
      self.leaving_ = true;
      return 0;
    }
    self.reply_.Clear();
    if (command.starts_with("MAIL FROM:")) self.stage_ = SmtpStage::kSender;
    if (command.starts_with("RCPT TO:")) self.stage_ = SmtpStage::kRecipient;
    if (command.starts_with("DATA\r\n")) self.stage_ = SmtpStage::kContent;
    return 0;
  }

  const SmtpOptions& options_;  // The client's, as the next two.
  ServerGate& gate_;
  OpenSockets& sockets_;
  Mail mail_;
  const std::vector<std::vector<std::string>> part_header_lines_;  // As mail_.parts.
  const SmtpClient::Done done_;
  const SmtpClient::Finish finish_;
  const int64_t round_;
  StringList headers_;
  StringList recipients_;
  curl_mime* mime_ = nullptr;
  SmtpStage stage_ = SmtpStage::kSession;
  SmtpReply reply_;  // To the last command.
  bool leaving_ = false;
};

}  // namespace

// One mail at a time, on a thread and a connection of its own.
struct SmtpLine {
  explicit SmtpLine(const SmtpOptions& options, size_t number)
      : loop({.timeout = options.timeout,
              .connect_timeout = options.connect_timeout,
              .in_flight_max = 1,
              .waiting_max = options.waiting_max,
              .authorities_file = options.authorities_file,
              .on_turn = number == 0 ? options.on_turn : std::function<void()>(),
              .on_close = [this] { sockets.ShutDown(); }}) {}

  OpenSockets sockets;
  std::atomic<size_t> mails{0};  // Under way or waiting.
  transfer::TransferLoop loop;   // Uses what is above.
};

class SmtpClient::Impl {
 public:
  Impl(const SmtpOptions& options, const base::MonotonicClock& clock)
      : options_(options), gate_(options.pauses, clock) {
    for (size_t i = 0; i < options.in_flight_max; ++i) lines_.push_back(std::make_unique<SmtpLine>(options_, i));
  }

  void Send(const Mail& mail, Done done, Finish finish) {
    const absl::StatusOr<MailHeaderLines> header_lines = HeaderLinesOf(mail);
    if (!header_lines.ok()) {
      return done(
          {.outcome = MailOutcome::kInvalid, .error = std::string(base::ToStd(header_lines.status().message()))});
    }
    const absl::Duration wait = gate_.Wait();
    if (wait > absl::ZeroDuration()) {
      return done({.outcome = MailOutcome::kServerFault,
                   .error = "the mail server could not be used when it was last tried",
                   .retry_after = wait});
    }
    // The first of those with the fewest, so that a connection is used again.
    SmtpLine& line = **std::min_element(lines_.begin(), lines_.end(),
                                        [](const auto& a, const auto& b) { return a->mails < b->mails; });
    size_t mails = 0;
    for (const auto& one : lines_) mails += one->mails;
    if (mails >= options_.in_flight_max + options_.waiting_max)
      return done({.outcome = MailOutcome::kNotTried, .error = "too many mails wait"});
    ++line.mails;
    line.loop.Start(std::make_unique<SmtpTransfer>(
                        options_, gate_, line.sockets, mail, *header_lines,
                        [&line, done = std::move(done)](MailResult result) {
                          --line.mails;
                          done(std::move(result));
                        },
                        std::move(finish)),
                    0);
  }

 private:
  const SmtpOptions options_;
  ServerGate gate_;
  std::vector<std::unique_ptr<SmtpLine>> lines_;  // Use what is above.
};

SmtpClient::SmtpClient(const SmtpOptions& options, const base::MonotonicClock& clock)
    : impl_(std::make_unique<Impl>(options, clock)) {}
SmtpClient::~SmtpClient() = default;

void SmtpClient::Send(const Mail& mail, Done done, Finish finish) {
  impl_->Send(mail, std::move(done), std::move(finish));
}

}  // namespace stockalert::mail
