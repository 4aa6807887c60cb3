#include "services/common/tls/files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/status_macros.h"

namespace stockalert::tls {
namespace {

constexpr size_t kFileBytesMax = size_t{1024} * 1024;

struct Deleter {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  // What is in it belongs to others.
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};
template <typename T>
using Owned = std::unique_ptr<T, Deleter>;

absl::Status Unfit(const File& file, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file.flag, "=", file.path, " ", what));
}

absl::StatusOr<std::string> Read(const File& file) {
  errno = 0;
  std::ifstream in(file.path, std::ios::binary);
  if (!in.is_open()) return Unfit(file, absl::StrCat("cannot be read: ", std::strerror(errno)));
  std::string content(kFileBytesMax + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  if (content.empty()) return Unfit(file, "is empty, or cannot be read");
  if (content.size() > kFileBytesMax) return Unfit(file, "is larger than 1 MiB");
  return content;
}

// Keys with a passphrase are not asked for one on the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<std::vector<Owned<X509>>> ReadCertificates(const File& file) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::string pem, Read(file));
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<Owned<X509>> certificates;
  for (;;) {
    Owned<X509> certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
    if (!certificate) break;
    certificates.push_back(std::move(certificate));
  }
  // "No further PEM block" is how a good file ends; anything else is a block that is none.
  const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (certificates.empty() || !ended) return Unfit(file, "holds no PEM certificates, or broken ones");
  return certificates;
}

absl::StatusOr<absl::Time> TimeOf(const ASN1_TIME* time, const File& file) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Unfit(file, "has a certificate without a readable time of validity");
  return absl::FromUnixSeconds(timegm(&parts));
}

struct Validity {
  absl::Time begin;
  absl::Time end;
};

absl::StatusOr<Validity> ValidityOf(const X509* certificate, const File& file) {
  Validity validity;
  STOCKALERT_ASSIGN_OR_RETURN(validity.begin, TimeOf(X509_get0_notBefore(certificate), file));
  STOCKALERT_ASSIGN_OR_RETURN(validity.end, TimeOf(X509_get0_notAfter(certificate), file));
  return validity;
}

std::string Text(absl::Time time) { return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()); }

}  // namespace

absl::StatusOr<absl::Time> CheckIdentity(const File& certificate, const File& key, Purpose purpose) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<Owned<X509>> chain, ReadCertificates(certificate));
  STOCKALERT_ASSIGN_OR_RETURN(const std::string pem, Read(key));
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Owned<EVP_PKEY> secret(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  if (!secret) return Unfit(key, "holds no private key in PEM, or one with a passphrase: write it without one");
  X509* leaf = chain.front().get();
  const bool belongs = X509_check_private_key(leaf, secret.get()) == 1;
  ERR_clear_error();
  if (!belongs) {
    return Unfit(key, absl::StrCat("is not the key of the first certificate in ", certificate.flag, "=",
                                   certificate.path, ": name the two that were made together, and swap them together"));
  }
  absl::Time expiry = absl::InfiniteFuture();
  for (const Owned<X509>& link : chain) {
    STOCKALERT_ASSIGN_OR_RETURN(const Validity validity, ValidityOf(link.get(), certificate));
    if (validity.end <= absl::Now())
      return Unfit(certificate, absl::StrCat("has expired, at ", Text(validity.end), ": renew it"));
    if (validity.begin > absl::Now()) {
      return Unfit(certificate, absl::StrCat("is not valid before ", Text(validity.begin), ": is the clock right?"));
    }
    expiry = std::min(expiry, validity.end);
  }
  if (purpose != Purpose::kClient && X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1) {
    return Unfit(certificate, "may not be used by a server: issue it with the extended key usage serverAuth");
  }
  if (purpose != Purpose::kServer && X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
    return Unfit(certificate, "may not be used by a client: issue it with the extended key usage clientAuth");
  }
  return expiry;
}

absl::StatusOr<absl::Time> CheckAuthorities(const File& authorities) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<Owned<X509>> certificates, ReadCertificates(authorities));
  absl::Time first = absl::InfiniteFuture();
  absl::Time last = absl::InfinitePast();
  for (const Owned<X509>& certificate : certificates) {
    if (X509_check_ca(certificate.get()) == 0)
      return Unfit(authorities, "holds a certificate that is no authority's (CA:TRUE is missing)");
    STOCKALERT_ASSIGN_OR_RETURN(const Validity validity, ValidityOf(certificate.get(), authorities));
    first = std::min(first, validity.end);
    last = std::max(last, validity.end);
  }
  // An old authority beside a new one is how authorities are changed.
  if (last <= absl::Now()) return Unfit(authorities, absl::StrCat("has expired, at ", Text(last), ": renew it"));
  return first;
}

absl::Status CheckIssuer(const File& certificate, const File& authorities) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<Owned<X509>> chain, ReadCertificates(certificate));
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<Owned<X509>> trusted, ReadCertificates(authorities));
  const Owned<X509_STORE> store(X509_STORE_new());
  for (const Owned<X509>& authority : trusted) X509_STORE_add_cert(store.get(), authority.get());
  const Owned<STACK_OF(X509)> between(sk_X509_new_null());
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(between.get(), chain[i].get());
  const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), between.get());
  const bool leads = X509_verify_cert(context.get()) == 1;
  const std::string why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
  ERR_clear_error();
  if (leads) return absl::OkStatus();
  return Unfit(certificate, absl::StrCat("was issued by no authority in ", authorities.flag, "=", authorities.path,
                                         " (", why, "): the other services would refuse it"));
}

absl::StatusOr<std::vector<std::string>> NamesOf(const File& certificate) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<Owned<X509>> chain, ReadCertificates(certificate));
  std::vector<std::string> found;
  const Owned<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(chain.front().get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int kind = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind));
    if (kind != GEN_DNS && kind != GEN_URI) continue;
    found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                       static_cast<size_t>(ASN1_STRING_length(value)));
  }
  return found;
}

}  // namespace stockalert::tls
