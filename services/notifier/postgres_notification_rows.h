// Rows of notifications and of their recipients, as several stores read them. Called within a transaction; SOCI's
// exceptions pass.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "services/notifier/notification_store.h"

namespace stockalert::notifier {

extern const char kNotificationColumns[];

// Makes the statement, to which all is bound, ready for one execution. In one trip with it: one that is prepared takes
// three, with its end.
void PrepareOnce(soci::statement& statement, const std::string& query);

// What `query`, a SELECT or RETURNING of kNotificationColumns, answers; what it is given is bound to `statement`
// before.
std::vector<StoredNotification> FetchNotifications(soci::statement& statement, const std::string& query);

struct Recipient {
  int64_t last_sequence = 0;
  bool deleted = false;
  bool changed = false;
};

// Inserts `rows`, which have ids, sequences and keys.
void InsertNotifications(soci::session& sql, const std::vector<StoredNotification>& rows);
// Writes the sequences of those recipients that are `changed`.
void WriteSequences(soci::session& sql, const std::map<std::string, Recipient>& recipients);

// Locks the users' rows, in the order of their ids as everybody does, having made those that are not there.
std::map<std::string, Recipient> LockRecipients(soci::session& sql, const std::set<std::string>& user_ids);

}  // namespace stockalert::notifier
