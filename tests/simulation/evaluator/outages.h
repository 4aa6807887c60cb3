// One evaluator as it runs (loop, logic and relay), on a clock of the simulation's own, and outages of all that it
// lives on: the database, the broker, the group, its own process; in any order, and any of them while others last.
//
// One thread; everything follows from the seed and the outages. What must hold: once all has been well for 30 s of the
// simulation's time, every partition is live, all of the log is folded, what is stored is what the auditor expects,
// once each, and all of it has reached the broker; and no single turn of the loop takes longer than a group bears.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "services/evaluator/alert_event_relay.h"
#include "services/evaluator/evaluator_logic.h"
#include "services/evaluator/evaluator_loop.h"
#include "services/evaluator/evaluator_store.h"
#include "tests/simulation/evaluator/logs.h"
#include "tests/simulation/evaluator/random.h"

namespace stockalert::simulation {

// A letter each, so that a failure's story can be read and typed.
inline constexpr std::string_view kOutages =
    "D"   // The database is away; what it was just asked may have been carried out.
    "F"   // Its disk is full: writes fail, reads work.
    "d"   // It is well again.
    "B"   // The broker is away; after a session the group is lost.
    "b"   // It is back.
    "G"   // The group is lost at once, and joined again; another member has its partitions meanwhile, and gets
          // somewhere.
    "R"   // The partitions are given back in good order, and some are given again; the others a second later.
    "Z"   // The process is frozen for 45 s: as G, if the broker is there.
    "X"   // Another member takes the partitions, and nobody tells.
    "U"   // What a partition makes happen cannot be stored.
    "u"   // It can.
    "E"   // The consumer can go on no more.
    "J"   // No consumer can be made for 5 s, and the present one ends.
    "O"   // The broker reports that a partition cannot be read at its place.
    "N"   // Reading a partition is forbidden for 5 s.
    "S"   // The consumer refuses to be told what to read for 2 s.
    "K"   // The process is killed and started again.
    "Q";  // It is told to stop, and started again.

struct OutageReport {
  std::optional<std::string> failure;  // What went wrong; nothing where all is well.
  int64_t turns = 0;
  int64_t blocked = 0;  // Turns with a blocked commit,
  int64_t rested = 0;   // with a partition that is stopped,
  int64_t apart = 0;    // without being a member.
  int64_t fenced = 0;
  int64_t tried_again = 0;
  int64_t triggers = 0;
  int64_t checkpoints = 0;  // Of the process at the end.
};

class OutageWorld {
 public:
  OutageWorld(const std::vector<SimulatedLog>& logs, uint64_t seed,
              absl::Duration checkpoint_interval = absl::Seconds(2));
  ~OutageWorld();

  // Each letter of `story` is an outage (or its end), with a while of work after it.
  OutageReport Run(std::string_view story);

 private:
  class Store;
  class Consumer;
  class Publisher;
  class Checkpoints;
  struct Process;

  void Begin();
  void Kill();
  void Strike(char outage);
  // Whether it is one of the database, the broker and the log; or of who reads what.
  bool StrikeStores(char outage);
  bool StrikeMembership(char outage);
  void StopAndBegin();
  int32_t AnyPartition();
  void MendAll();
  void Work(absl::Duration time);
  void Turn();
  void OthersTake(int64_t records_max, const std::vector<int32_t>& except = {});
  bool IsAssigned(int32_t partition) const;
  void CheckAtTheEnd();
  void Fail(const std::string& what);

  enum class Database { kWell, kFull, kAway };

  const std::vector<SimulatedLog>& logs_;
  const absl::Duration checkpoint_interval_;
  Random random_;
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  std::vector<int64_t> written_;  // Partition → how many of its records the broker has.

  Database database_ = Database::kWell;
  bool loses_answer_ = false;  // The next commit is carried out and not answered.
  std::optional<int32_t> unstorable_;

  bool broker_ = true;
  absl::Time broker_away_since_ = absl::InfiniteFuture();
  absl::Time no_join_until_ = absl::InfinitePast();
  absl::Time no_start_until_ = absl::InfinitePast();
  absl::Time forbidden_until_ = absl::InfinitePast();
  std::vector<std::string> delivered_;

  std::unique_ptr<Store> store_;
  std::unique_ptr<Process> process_;
  Consumer* consumer_ = nullptr;  // Of the process; the one member that the group knows.
  bool must_end_ = false;         // The process was told that it should.
  OutageReport report_;
};

}  // namespace stockalert::simulation
