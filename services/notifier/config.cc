#include "services/notifier/config.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/boot/flags.h"
#include "services/common/mail/address.h"
#include "services/common/postgres/security.h"
#include "services/common/secrets/secret_box.h"
#include "services/notifier/delivery/egress_guard.h"
#include "services/notifier/delivery/kinds/kind_hosts.h"

namespace stockalert::notifier {
namespace {

using secrets::SecretBox;

std::optional<std::string> FindDeliveryFault(const Config& config) {
  if (!config.delivery_keys_file.empty()) {
    const absl::Status keys = SecretBox::FromFile(config.delivery_keys_file).status();
    if (!keys.ok()) return absl::StrCat("--delivery_keys_file: ", keys.message());
  }
  const absl::Status guard = EgressGuard::Create(config.egress_allow, config.egress_allow_http).status();
  if (!guard.ok()) return absl::StrCat("--egress_allow: ", guard.message());
  const absl::Status hosts = KindHosts::Parse(config.destination_hosts).status();
  if (!hosts.ok()) return absl::StrCat("--destination_hosts: ", hosts.message());
  if (!config.apprise_url.empty()) {
    const absl::Status apprise = AppriseServer::Parse(config.apprise_url, config.apprise_schemes).status();
    if (!apprise.ok()) return absl::StrCat("--apprise_url, --apprise_schemes: ", apprise.message());
  }
  return std::nullopt;
}

void DeclareDelivery(config::Parser& parser, Config& config) {
  parser.AddString(
      "delivery_keys_file", &config.delivery_keys_file, config::kOptional,
      "the keys that encrypt the secrets of destinations, a line `ID BASE64` for each, of 32 bytes; new secrets "
      "are encrypted with the first. Without this file delivery is off");
  parser.AddString("egress_allow", &config.egress_allow, config::kOptional,
                   "internal networks that notifications may be sent to nevertheless: \"10.20.0.0/16,fd00:1::/64\"");
  parser.AddBoolean("egress_allow_http", &config.egress_allow_http, "allow destinations without TLS");
  parser.AddString("destination_hosts", &config.destination_hosts, config::kOptional,
                   "other addresses of services than the official ones, to go through a proxy or to test: "
                   "\"telegram=https://telegram.example.com,slack=http://127.0.0.1:8081\"");
  parser.AddString("apprise_url", &config.apprise_url, config::kOptional,
                   "an Apprise API server of yours, \"http://apprise:8000\"; destinations of the kind apprise are sent "
                   "through it. Empty: there are none");
  parser.AddString(
      "apprise_schemes", &config.apprise_schemes, config::kOptional,
      "the services that users may name to it: by one with a host of their choice they reach whatever that "
      "server reaches");
  parser.AddString("egress_ca_file", &config.egress_ca_file, config::kOptional,
                   "PEM: authorities trusted for receivers' certificates, instead of the system's");
  parser.AddInteger("deliveries_in_flight_max", &config.deliveries_in_flight_max, 1, 10'000,
                    "attempts at deliveries at the same time");
  parser.AddMilliseconds("delivery_timeout_ms", &config.delivery_timeout, absl::Milliseconds(100), absl::Seconds(25),
                         "time limit of an attempt in total");
  parser.AddMilliseconds("delivery_poll_interval_ms", &config.delivery_poll_interval, absl::Milliseconds(10),
                         absl::Seconds(10),
                         "how often to look for retries and for deliveries that other instances queued");
  parser.AddRule([&config] { return FindDeliveryFault(config); });
}

// What a mail's header can hold, and no more than a path behind the host.
bool IsPublicUrl(const std::string& url) {
  constexpr std::string_view kBegin = "https://";
  return url.starts_with(kBegin) && url.size() > kBegin.size() && url.size() <= 500 && url[kBegin.size()] != '/' &&
         std::all_of(url.begin(), url.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  std::string_view("-._~:/[]").find(c) != std::string_view::npos;
         });
}

std::optional<std::string> FindMailFault(const Config& config) {
  if (config.smtp_address.empty()) {
    if (config.smtp_user.empty() && config.smtp_password.empty() && config.mail_from.empty() &&
        config.mail_unsubscribe.empty() && config.public_url.empty())
      return std::nullopt;
    return "--smtp_address is required by the other settings of mail";
  }
  if (config.delivery_keys_file.empty())
    return "--smtp_address needs --delivery_keys_file: without keys delivery is off";
  const absl::Status from = mail::ParseAddress(config.mail_from).status();
  if (!from.ok()) return absl::StrCat("--mail_from ", from.message());
  if (!config.mail_unsubscribe.empty()) {
    const absl::Status unsubscribe = mail::ParseAddress(config.mail_unsubscribe).status();
    if (!unsubscribe.ok()) return absl::StrCat("--mail_unsubscribe ", unsubscribe.message());
  }
  if (config.smtp_user.empty() != config.smtp_password.empty())
    return "--smtp_user and --smtp_password_file go together";
  if (config.smtp_tls == "none" && !config.smtp_user.empty())
    return "--smtp_tls=none does not go with --smtp_user: the password would be readable on its way";
  if (!config.public_url.empty() && !IsPublicUrl(config.public_url))
    return "--public_url: must be a URL such as https://alerts.example.org";
  return std::nullopt;
}

void DeclareMail(config::Parser& parser, Config& config) {
  parser.AddDialAddress("smtp_address", &config.smtp_address, config::kOptional,
                        "the mail server through which mails are sent; empty: none are");
  parser.AddChoice(
      "smtp_tls", &config.smtp_tls, {"starttls", "tls", "none"},
      "how the mail server is spoken to: STARTTLS, which it must offer (port 587); TLS from the first byte "
      "on (port 465); in the clear, for one on the same machine");
  parser.AddString("smtp_user", &config.smtp_user, config::kOptional, "the login at the mail server; empty: none");
  parser.AddSecret("smtp_password", &config.smtp_password, config::kOptional, "the password of that login");
  parser.AddString("smtp_ca_file", &config.smtp_ca_file, config::kOptional,
                   "PEM: authorities trusted for the mail server's certificate, instead of the system's");
  parser.AddMilliseconds("smtp_timeout_ms", &config.smtp_timeout, absl::Milliseconds(100), absl::Seconds(40),
                         "time limit of a mail in total");
  parser.AddInteger("smtp_in_flight_max", &config.smtp_in_flight_max, 1, 100,
                    "mails sent at the same time, with a connection each");
  parser.AddString("mail_from", &config.mail_from, config::kOptional,
                   "the address in whose name mails are sent; required with --smtp_address");
  parser.AddString("mail_from_name", &config.mail_from_name, config::kOptional, "the name shown beside it");
  parser.AddString("mail_unsubscribe", &config.mail_unsubscribe, config::kOptional,
                   "the address to which mail programs send a request to stop; empty: that of --mail_from");
  parser.AddString(
      "public_url", &config.public_url, config::kOptional,
      "where readers of mails reach --unsubscribe_address through the edge: \"https://alerts.example.org\"; "
      "mails then have a link that unsubscribes. Empty: they have not, and that port is not opened");
  parser.AddListenAddress("unsubscribe_address", &config.unsubscribe_address,
                          "the HTTP port of the links that unsubscribe, for the edge alone");
  parser.AddRule([&config] { return FindMailFault(config); });
}

}  // namespace

void Declare(config::Parser& parser, Config& config) {
  boot::DeclareAddresses(parser, &config.public_address, &config.http_address, &config.internal_address);
  parser.AddDialAddress("user_address", &config.user_address, config::kRequired, "the user service's internal address");
  parser.AddDialAddress("ticker_address", &config.ticker_address, config::kRequired,
                        "the ticker service's internal address");
  postgres::DeclareDatabase(parser, config.postgres_url);
  kafka::DeclareBroker(parser, config.kafka_bootstrap, config.kafka_security);
  boot::DeclareGroup(parser, config.group_id, config.instance_id, /*may_come_and_go=*/true);
  parser.AddOldName("kafka_group", "group_id");
  parser.AddOldName("kafka_group_instance", "instance_id");
  rpc::DeclareMesh(parser, "notifier", /*has_internal_port=*/true, config.mesh, config.mesh_token, config.tls);
  tls::Declare(parser, config.tls);
  rpc::DeclareLimits(parser, config.public_limits);
  boot::DeclareWork(parser, config.threads, config.queue_max);
  rpc::DeclareCalls(parser, config.calls);
  boot::DeclareConnections(parser, config.postgres_connections_max);
  parser.AddInteger("streams_max", &config.streams_max, 1, 1'000'000, "streams that may be open at once");
  parser.AddMilliseconds("watch_poll_interval_ms", &config.watch_poll_interval, absl::Milliseconds(10),
                         absl::Minutes(1), "how often to look for notifications that other instances stored");
  boot::DeclareStart(parser, config.start_timeout);
  DeclareDelivery(parser, config);
  DeclareMail(parser, config);
}

}  // namespace stockalert::notifier
