// The symbols of a partition, by name and by number, side by side in blocks, so that quotes of many symbols touch few
// pages; what most quotes need of them (quiet_symbol.h) is apart. None is ever forgotten.
//
// Not thread-safe; cannot fail.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "services/common/base/abseil.h"
#include "services/domain/fold/quiet_symbol.h"
#include "services/domain/fold/symbol_fold.h"

namespace stockalert::fold {

class SymbolTable {
 public:
  SymbolTable() : entries_(0, Hash(), Equal{this}) {}
  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;

  // None where the name is not known.
  std::optional<uint32_t> NumberOf(std::string_view name) const {
    const auto found = entries_.find(Wanted{name, HashOf(name)});
    return found == entries_.end() ? std::nullopt : std::optional(found->number);
  }
  // Null where the name is not known.
  SymbolFold* Find(std::string_view name) const {
    const std::optional<uint32_t> number = NumberOf(name);
    return number.has_value() ? &At(*number) : nullptr;
  }

  // Precondition: the name is not known. Its number is as many as there were before.
  SymbolFold& Add(std::string_view name) {
    if (size_ % kPerBlock == 0) {
      blocks_.push_back(std::make_unique<Block>());
      quiet_.push_back(std::make_unique<QuietBlock>());
    }
    const auto number = static_cast<uint32_t>(size_++);
    SymbolFold& symbol = (*blocks_.back())[number % kPerBlock].emplace(std::string(name), number);
    QuietAt(number).SetName(name);
    entries_.insert(Entry{number, HashOf(name)});
    return symbol;
  }

  // The symbol, which is quiet no more: it has taken in all that QuietAt took.
  SymbolFold& At(size_t number) const {
    SymbolFold& symbol = Unchecked(number);
    symbol.Prefetch();
    symbol.EndQuiet(&QuietAt(number));
    return symbol;
  }
  // What quotes never change of it: names, ids, steps.
  const SymbolFold& Lasting(size_t number) const { return Unchecked(number); }
  // For whoever has applied a quote: while the symbol is quiet, later ones go here. A reference from At must not be
  // used afterwards.
  QuietSymbol& QuietAt(size_t number) const { return (*quiet_[number / kPerBlock])[number % kPerBlock]; }
  size_t size() const { return size_; }
  void Reserve(size_t size) { entries_.reserve(size); }

 private:
  static constexpr size_t kPerBlock = 64;
  using Block = std::array<std::optional<SymbolFold>, kPerBlock>;
  using QuietBlock = std::array<QuietSymbol, kPerBlock>;

  // With the name's hash, so that only the symbol that is looked for is looked at.
  struct Entry {
    uint32_t number = 0;
    uint32_t hash = 0;
  };
  struct Wanted {
    std::string_view name;
    uint32_t hash = 0;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(Entry entry) const { return absl::Hash<uint32_t>()(entry.hash); }
    size_t operator()(const Wanted& wanted) const { return absl::Hash<uint32_t>()(wanted.hash); }
  };
  struct Equal {
    using is_transparent = void;
    const SymbolTable* table;
    bool operator()(Entry a, Entry b) const { return a.number == b.number; }
    bool operator()(Entry entry, const Wanted& wanted) const {
      if (entry.hash != wanted.hash) return false;
      const QuietSymbol& quiet = table->QuietAt(entry.number);
      __builtin_prefetch(reinterpret_cast<const char*>(&quiet) + 64);
      return quiet.has_name() ? quiet.Is(wanted.name) : table->Unchecked(entry.number).symbol() == wanted.name;
    }
    bool operator()(const Wanted& wanted, Entry entry) const { return (*this)(entry, wanted); }
  };

  static uint32_t HashOf(std::string_view name) {
    return static_cast<uint32_t>(absl::Hash<absl::string_view>()(base::ToAbsl(name)));
  }

  SymbolFold& Unchecked(size_t number) const { return *(*blocks_[number / kPerBlock])[number % kPerBlock]; }

  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::unique_ptr<QuietBlock>> quiet_;
  size_t size_ = 0;
  absl::flat_hash_set<Entry, Hash, Equal> entries_;
};

}  // namespace stockalert::fold
