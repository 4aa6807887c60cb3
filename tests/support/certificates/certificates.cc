#include "tests/support/certificates/certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <fstream>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace stockalert::testing {
namespace {

void Require(bool done, const char* what) {
  if (!done) throw std::runtime_error(absl::StrCat("OpenSSL: ", what));
}

struct Deleter {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, Deleter>;
using Certificate = std::unique_ptr<X509, Deleter>;
using Key = std::unique_ptr<EVP_PKEY, Deleter>;

std::string Text(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string ToPem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509(bio.get(), certificate) == 1, "a certificate cannot be written");
  return Text(bio);
}

std::string ToPem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "a key cannot be written");
  return Text(bio);
}

void Extend(X509* certificate, X509* issuer, int extension, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, &context, extension, value.c_str());
  Require(made != nullptr, value.c_str());
  X509_add_ext(certificate, made, -1);
  X509_EXTENSION_free(made);
}

Certificate Begin(const std::string& name, EVP_PKEY* key, absl::Time begin, absl::Time end) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  uint64_t serial = 0;
  Require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1, "no random number");
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(begin));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(end));
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return certificate;
}

}  // namespace

struct Authority::Keys {
  Key key{EVP_EC_gen("P-256")};
  Certificate certificate;
};

Authority::Authority(const std::string& name, absl::Time end) : keys_(std::make_unique<Keys>()) {
  keys_->certificate = Begin(name, keys_->key.get(), std::min(absl::Now(), end) - absl::Hours(2), end);
  X509* certificate = keys_->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  Extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  Extend(certificate, certificate, NID_subject_key_identifier, "hash");
  Require(X509_sign(certificate, keys_->key.get(), EVP_sha256()) > 0, "an authority cannot sign itself");
  certificate_ = ToPem(certificate);
}

Authority::~Authority() = default;

Identity Authority::Issue(const Wanted& wanted) const {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate made = Begin("a service", key.get(), wanted.begin, wanted.end);
  X509* issuer = keys_->certificate.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
  std::vector<std::string> names;
  names.reserve(wanted.dns_names.size() + wanted.ip_addresses.size());
  for (const std::string& name : wanted.dns_names) names.push_back("DNS:" + name);
  for (const std::string& address : wanted.ip_addresses) names.push_back("IP:" + address);
  Extend(made.get(), issuer, NID_subject_alt_name, absl::StrJoin(names, ","));
  if (!wanted.extended_key_usage.empty()) Extend(made.get(), issuer, NID_ext_key_usage, wanted.extended_key_usage);
  Require(X509_sign(made.get(), keys_->key.get(), EVP_sha256()) > 0, "an authority cannot sign");
  return {ToPem(made.get()), ToPem(key.get())};
}

SwappedFolder::SwappedFolder(const std::map<std::string, std::string>& files) {
  std::string pattern = (std::filesystem::temp_directory_path() / "stockalert-tls-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  root_ = pattern;
  Swap(files);
}

SwappedFolder::~SwappedFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

void SwappedFolder::Swap(const std::map<std::string, std::string>& files) {
  const std::string name = absl::StrCat("generation-", ++generation_);
  std::filesystem::create_directory(root_ / name);
  for (const auto& [file, content] : files) {
    std::ofstream out(root_ / name / file, std::ios::binary);
    out << content;
    if (!out.flush()) throw std::runtime_error("cannot write " + file);
    std::filesystem::permissions(root_ / name / file,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  std::filesystem::remove(root_ / "next");
  std::filesystem::create_directory_symlink(name, root_ / "next");
  std::filesystem::rename(root_ / "next", root_ / "current");
}

}  // namespace stockalert::testing
