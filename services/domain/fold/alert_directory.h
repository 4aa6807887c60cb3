// Which alert of the partition has an id: its symbol's number and its slot there. The ids themselves are where the
// alerts are, so an entry is eight bytes; `IdOf` finds the id of a place.
//
// In many small hash tables, by the id's hash, for a table that grows hashes all that it holds anew: so none holds up a
// record for long. Not thread-safe; cannot fail.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "services/domain/fold/alert_id.h"
#include "services/domain/fold/slot_at.h"

namespace stockalert::fold {

struct AlertPlace {
  uint32_t symbol = 0;
  Slot slot = 0;
  bool operator==(const AlertPlace&) const = default;
};

// IdOf: const AlertId&(AlertPlace), cheap to copy, for places that are in the directory.
template <typename IdOf>
class AlertDirectory {
 public:
  explicit AlertDirectory(IdOf id_of) : id_of_(id_of) {
    for (Table& table : tables_) table = Table(0, Hash{id_of}, Equal{id_of});
  }

  std::optional<AlertPlace> Find(const AlertId& id) const {
    const Table& table = tables_[TableOf(id)];
    const auto found = table.find(id);
    return found == table.end() ? std::nullopt : std::optional(*found);
  }

  // Both while the id is to be found at the place. Insert is false, and changes nothing, where the id is there already.
  bool Insert(AlertPlace place) {
    if (!tables_[TableOf(id_of_(place))].insert(place).second) return false;
    ++size_;
    return true;
  }
  void Erase(AlertPlace place) { size_ -= tables_[TableOf(id_of_(place))].erase(place); }

  size_t size() const { return size_; }
  void Reserve(size_t size) {
    for (Table& table : tables_) table.reserve(size / kTables);
  }

 private:
  static constexpr size_t kTableBits = 8;
  static constexpr size_t kTables = size_t{1} << kTableBits;

  struct Hash {
    using is_transparent = void;
    IdOf id_of;
    size_t operator()(const AlertId& id) const { return absl::Hash<AlertId>()(id); }
    size_t operator()(AlertPlace place) const { return (*this)(id_of(place)); }
  };
  struct Equal {
    using is_transparent = void;
    IdOf id_of;
    bool operator()(AlertPlace a, AlertPlace b) const { return a == b || id_of(a) == id_of(b); }
    bool operator()(AlertPlace place, const AlertId& id) const { return id_of(place) == id; }
    bool operator()(const AlertId& id, AlertPlace place) const { return id_of(place) == id; }
  };
  using Table = absl::flat_hash_set<AlertPlace, Hash, Equal>;

  // By the highest bits: the tables use the others.
  static size_t TableOf(const AlertId& id) { return absl::Hash<AlertId>()(id) >> (8 * sizeof(size_t) - kTableBits); }

  IdOf id_of_;
  std::array<Table, kTables> tables_;
  size_t size_ = 0;
};

}  // namespace stockalert::fold
