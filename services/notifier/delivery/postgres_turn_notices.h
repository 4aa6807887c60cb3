// Tells users what has become of their destinations, in the transaction that verifies or disables these. SOCI's
// exceptions pass through.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "services/notifier/delivery/destination_notice.h"
#include "services/notifier/postgres_notification_rows.h"

namespace stockalert::notifier {

// Locks lanes by destination, and besides those of all these users' destinations; returns the number of each one's last
// lease. With the users' rows locked nobody adds a lane of theirs.
std::map<std::string, int64_t> LockLanesWith(soci::session& sql, const std::vector<std::string>& destination_ids,
                                             const std::map<std::string, Recipient>& recipients);

// Stores a notification of each turn and queues it for the user's other ACTIVE destinations. `recipients` are the
// turns' users, locked, as are their lanes (LockLanesWith); the turns themselves have been written. Deleted users are
// told nothing. Returns how many notifications were stored.
int64_t StoreTurnNotices(soci::session& sql, const std::vector<DestinationTurn>& turns,
                         std::map<std::string, Recipient>& recipients);

}  // namespace stockalert::notifier
