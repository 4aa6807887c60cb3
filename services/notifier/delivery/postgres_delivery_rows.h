// Rows of destinations, deliveries and lanes, as the stores of deliveries and of notifications read and write them.
// Called within a transaction; SOCI's exceptions pass through.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "services/notifier/delivery/delivery_types.h"
#include "services/notifier/delivery/destination_store.h"

namespace stockalert::notifier {

// Of a table called d; likewise v.
extern const char kDestinationColumns[];
extern const char kDeliveryColumns[];

// Executes `query`, whose parameters and results are bound to `statement`, in one trip to the database; one that is
// prepared takes three, with its end.
void ExecuteOnce(soci::statement& statement, const std::string& query);

// The rows of `query`; its parameters are bound to `statement` before.
std::vector<Destination> FetchDestinations(soci::statement& statement, const std::string& query);
std::vector<Delivery> FetchDeliveries(soci::statement& statement, const std::string& query);

// Locks lanes, in the order that everybody uses, and returns the number of each one's last lease. Missing lanes are
// left out.
std::map<std::string, int64_t> LockLanes(soci::session& sql, const std::vector<std::string>& destination_ids);

// Sets when each of these lanes is due, from what is queued and may be sent. Call it with the lanes locked.
// `release`: also ends their leases.
void UpdateDue(soci::session& sql, const std::vector<std::string>& destination_ids, bool release = false);

// Cancels what is held for these destinations, at most `most` in total, and returns their number. Call it with the
// lanes locked.
int CancelHeld(soci::session& sql, const std::vector<std::string>& destination_ids, const char* why, int most,
               int64_t now_us);
// No digest is due for those of these lanes that hold nothing (any more). Call it with the lanes locked.
void EndDigests(soci::session& sql, const std::vector<std::string>& destination_ids);

// Destinations by id, deleted ones too; locks them if `lock`.
std::vector<Destination> ReadDestinations(soci::session& sql, const std::vector<std::string>& ids, bool lock);
// Writes everything but id, user and kind, and the request.
void WriteDestination(soci::session& sql, const Destination& destination);

Delivery InsertDelivery(soci::session& sql, const Destination& destination, const NewDelivery& delivery,
                        int64_t now_us);

// "disabled" and so on: what last_error says of deliveries that were cancelled.
inline constexpr char kCancelledByUser[] = "cancelled";
inline constexpr char kCancelledWithDestination[] = "cancelled, because the destination was deleted or disabled";
inline constexpr char kCancelledByNewVerification[] = "cancelled, because another verification was requested";

}  // namespace stockalert::notifier
