// A restricted reader of Python pickles (protocols 0x80 2 to 5) that builds an inert tree and
// executes nothing. Names of classes and functions are kept as text and must be on an allow-list;
// anything else refuses the file and names it. Oracle: pickletools and torch.load.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace yoke::formats {

struct PickleNode {
  enum class Kind {
    kNone,
    kBool,  // integer 0 or 1
    kInteger,
    kFloat,
    kString,  // UTF-8
    kBytes,   // text holds them
    kList,    // items
    kTuple,   // items
    kSet,     // items
    kDict,    // entries
    kGlobal,  // text "module.name"
    kObject,  // callable(*args), never called; state from BUILD; entries and items set afterwards
    kPersistentId,  // args: what identifies it, e.g. a tensor's storage
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<const PickleNode*> items;
  std::vector<std::pair<const PickleNode*, const PickleNode*>> entries;
  const PickleNode* callable = nullptr;
  const PickleNode* args = nullptr;
  const PickleNode* state = nullptr;

  // The value under a string key of a dict (or of an object's own entries), the last one if there
  // are several; null if absent.
  const PickleNode* Find(const std::string& key) const;
  // "module.name" of an object's callable; empty for anything else.
  const std::string& class_name() const;
};

// Owns its nodes. Nodes may refer to each other in cycles: walkers must bound their depth.
class PickleTree {
 public:
  const PickleNode& root() const { return *root_; }

 private:
  friend class PickleMachine;
  std::unique_ptr<std::deque<PickleNode>> nodes_ = std::make_unique<std::deque<PickleNode>>();
  const PickleNode* root_ = nullptr;
};

// InvalidArgument: truncated, an opcode or a global outside the allow-list (the message names it),
// or over a limit (64 MiB, 2 million nodes, 1 million memo entries, strings of 16 MiB).
absl::StatusOr<PickleTree> Unpickle(absl::Span<const uint8_t> bytes);

// Whether a pickle may name `global` ("module.name").
bool IsAllowedGlobal(const std::string& global);

}  // namespace yoke::formats
