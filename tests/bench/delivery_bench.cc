// stockalert-bench-delivery: what tests/bench/delivery needs besides the notifiers themselves.
//
//   seed   prints destinations as rows for COPY, with secrets that the notifiers can decrypt.
//   load   the limit: the same number of POSTs of about the same size, by libcurl alone, as many at a time.
//
// Exit 1: something failed; what, is on standard error.
#include <curl/curl.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "services/common/base/ids.h"
#include "services/common/secrets/secret_box.h"
#include "services/common/webhook/webhook_signature.h"

namespace stockalert::bench {
namespace {

struct DeliveryFlags {
  std::string keys_file;
  std::vector<std::string> urls;
  int destinations = 100;
  int requests = 10'000;
  int in_flight = 200;
  std::string ca_file;
};

[[noreturn]] void Quit(const std::string& what) {
  std::fprintf(stderr, "stockalert-bench-delivery: %s\n", what.c_str());
  std::exit(1);
}

// "127.0.0.1:8080" of "http://127.0.0.1:8080/hook".
std::string HostOf(const std::string& url) {
  const size_t begin = url.find("//") + 2;
  return url.substr(begin, url.find('/', begin) - begin);
}

// A line for each: id, user, host, URL, public key, sealed settings, sealed secrets. The URLs take turns.
void Seed(const DeliveryFlags& flags) {
  const auto box = secrets::SecretBox::FromFile(flags.keys_file);
  if (!box.ok()) Quit(std::string(box.status().message()));
  base::SystemIdSource ids;
  for (int i = 0; i < flags.destinations; ++i) {
    const std::string& url = flags.urls[static_cast<size_t>(i) % flags.urls.size()];
    const std::string id = ids.NewUuid();
    const webhook::Keys keys = webhook::NewKeys(ids);
    std::printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", id.c_str(), ids.NewUuid().c_str(), HostOf(url).c_str(), url.c_str(),
                webhook::PublicKeyText(keys).c_str(), box->Seal(nlohmann::json{{"url", url}}.dump(), id).c_str(),
                box->Seal(webhook::SerializeKeys(keys), id).c_str());
  }
}

size_t Ignore(char* /*data*/, size_t size, size_t count, void* /*context*/) { return size * count; }

// As large as a webhook of an alert, with its headers.
CURL* NewPost(const DeliveryFlags& flags, const std::string& body, curl_slist* headers) {
  CURL* easy = curl_easy_init();
  if (easy == nullptr) Quit("curl_easy_init failed");
  curl_easy_setopt(easy, CURLOPT_URL, flags.urls.front().c_str());
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Ignore);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT, 20L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  if (!flags.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, flags.ca_file.c_str());
  return easy;
}

// How many of the requests that have ended were answered with 2xx; their handles are free again.
int CollectAnswers(CURLM* multi, std::deque<CURL*>& idle) {
  int answered = 0, left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    long status = 0;
    curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
    // The status decides, as for webhooks: over HTTP/2 nginx answers before it has read the body, and resets the
    // stream.
    if (status < 200 || status > 299) {
      Quit(std::string("a request failed: ") + curl_easy_strerror(message->data.result) + ", status " +
           std::to_string(status));
    }
    ++answered;
    CURL* easy = message->easy_handle;
    curl_multi_remove_handle(multi, easy);
    idle.push_back(easy);
  }
  return answered;
}

void Load(const DeliveryFlags& flags) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = curl_multi_init();
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(flags.in_flight));
  const std::string body(700, 'x');
  curl_slist* headers = nullptr;
  for (const std::string& header :
       {std::string("content-type: application/json"), "webhook-id: load_" + std::string(32, '0'),
        std::string("webhook-timestamp: 1700000000"), "webhook-signature: v1," + std::string(150, 'a')})
    headers = curl_slist_append(headers, header.c_str());
  std::deque<CURL*> idle;
  for (int i = 0; i < flags.in_flight; ++i) idle.push_back(NewPost(flags, body, headers));
  const auto begin = std::chrono::steady_clock::now();
  int begun = 0, answered = 0, running = 0;
  while (answered < flags.requests) {
    for (; !idle.empty() && begun < flags.requests; ++begun) {
      curl_multi_add_handle(multi, idle.front());
      idle.pop_front();
    }
    curl_multi_perform(multi, &running);
    answered += CollectAnswers(multi, idle);
    if (answered < flags.requests) curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
  }
  const double elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("{\"requests\":%d,\"seconds\":%.3f,\"requests_per_s\":%.0f}\n", answered, elapsed_s,
              answered / elapsed_s);
  for (CURL* easy : idle) curl_easy_cleanup(easy);
  curl_slist_free_all(headers);
  curl_multi_cleanup(multi);
}

}  // namespace

int DeliveryMain(int argc, char** argv) {
  DeliveryFlags flags;
  CLI::App app("Destinations for notifiers to deliver to, and the limit to hold them against");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--url", flags.urls, "Where to; several take turns")->required();
  app.add_option("--keys_file", flags.keys_file, "As the notifiers' --delivery_keys_file");
  app.add_option("--destinations", flags.destinations, "How many")->check(CLI::Range(1, 10'000'000));
  app.add_option("--requests", flags.requests, "How many")->check(CLI::Range(1, 100'000'000));
  app.add_option("--in_flight", flags.in_flight, "Requests at a time")->check(CLI::Range(1, 10'000));
  app.add_option("--ca_file", flags.ca_file, "PEM: who signed the receiver's certificate");
  app.add_subcommand("seed", "Prints destinations")->callback([&] { Seed(flags); });
  app.add_subcommand("load", "POSTs by libcurl alone")->callback([&] { Load(flags); });
  CLI11_PARSE(app, argc, argv);
  return 0;
}

}  // namespace stockalert::bench

int main(int argc, char** argv) { return stockalert::bench::DeliveryMain(argc, argv); }
