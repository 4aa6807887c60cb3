// Encrypts the secrets of all destinations anew, with the first key of the keys' file, so that older keys can be
// removed from it.
//
// Works in batches, each a transaction that holds the lanes' and the destinations' locks as the notifier does; run
// again after an interruption it only reads what is done already. What cannot be decrypted is left as it is. Not
// thread-safe; called by main alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/config/parser.h"
#include "services/common/postgres/pool.h"
#include "services/common/secrets/secret_box.h"

namespace stockalert::migrate {

struct RotateSecretsConfig {
  std::string postgres_url;
  std::string delivery_keys_file;
};

struct RotationCounts {
  int64_t rows = 0;  // Those with secrets.
  int64_t resealed = 0;
  int64_t lost = 0;                       // Unreadable, and disabled for that already.
  std::vector<std::string> unreadable;    // Ids; the first kUnreadableShownMax.
  int64_t unreadable_count = 0;           // All of them.
  std::map<std::string, int64_t> causes;  // Of the unreadable ones: what SecretBox::Open says.
};
inline constexpr size_t kUnreadableShownMax = 20;

void DeclareRotateSecrets(config::Parser& parser, RotateSecretsConfig& config);

// Goes through all rows until none has a secret of an older key, at most kRotationPassesMax times. ABORTED:
// notifiers still seal with an older key. FAILED_PRECONDITION: the database has secrets in a table that this version
// does not know.
absl::StatusOr<RotationCounts> RotateSecrets(postgres::Pool& pool, const secrets::SecretBox& box, int batch);
inline constexpr int kRotationPassesMax = 5;

// `stockalert-migrate rotate-secrets ...`: its exit code.
int RunRotateSecrets(int argc, const char* const* argv);

}  // namespace stockalert::migrate
