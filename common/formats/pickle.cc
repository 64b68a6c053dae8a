#include "common/formats/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace yoke::formats {

using Kind = PickleNode::Kind;

const PickleNode* PickleNode::Find(const std::string& key) const {
  const auto found = std::find_if(entries.rbegin(), entries.rend(), [&](const auto& entry) {
    return entry.first->kind == Kind::kString && entry.first->text == key;
  });
  return found == entries.rend() ? nullptr : found->second;
}

const std::string& PickleNode::class_name() const {
  static const std::string kNoName;
  return kind == Kind::kObject && callable != nullptr && callable->kind == Kind::kGlobal
             ? callable->text
             : kNoName;
}

bool IsAllowedGlobal(const std::string& global) {
  static constexpr const char* kNames[] = {
      "collections.OrderedDict", "collections.defaultdict", "typing.Any", "_codecs.encode",
      "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.Size",
      "torch.device", "torch.dtype", "torch.nn.parameter.Parameter",
      "torch.distributed.algorithms.join._JoinConfig",
      // Python 3's name of the module, and the one that protocol 2 writes
      "builtins.set", "builtins.dict", "builtins.list", "__builtin__.set", "__builtin__.dict",
      "__builtin__.list",
      // numbers and small arrays among the metrics, of numpy 1 and 2
      "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar",
      "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
      "numpy._core.multiarray._reconstruct"};
  // omegaconf: the training arguments of 8.0.0 to 8.0.6
  static constexpr const char* kPrefixes[] = {"torch.nn.modules.", "torch.nn.parallel.",
                                              "ultralytics.nn.",   "ultralytics.utils.",
                                              "ultralytics.yolo.", "models.",
                                              "omegaconf."};
  static constexpr const char* kTorchSuffixes[] = {"Storage"};
  static constexpr const char* kTorchTypes[] = {
      "torch.float16", "torch.float32", "torch.float64", "torch.bfloat16", "torch.int64",
      "torch.int32",   "torch.int16",   "torch.int8",    "torch.uint8",    "torch.bool"};
  for (const char* name : kNames) {
    if (global == name) return true;
  }
  for (const char* name : kTorchTypes) {
    if (global == name) return true;
  }
  for (const char* prefix : kPrefixes) {
    if (absl::StartsWith(global, prefix)) return true;
  }
  for (const char* suffix : kTorchSuffixes) {
    if (absl::StartsWith(global, "torch.") && absl::EndsWith(global, suffix)) return true;
  }
  return absl::StartsWith(global, "pathlib.") && absl::EndsWith(global, "Path");
}

// Reads opcodes as documented in Python's pickletools; a stack, a stack of marks and a memo, and no
// more.
class PickleMachine {
 public:
  explicit PickleMachine(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}

  absl::StatusOr<PickleTree> Run() {
    if (bytes_.size() > kMaxBytes) return Bad("is larger than 64 MiB");
    while (true) {
      if (!Has(1)) return Bad("breaks off");
      const uint8_t opcode = bytes_[at_++];
      if (opcode == '.') {
        if (stack_.size() != 1 || !marks_.empty())
          return Bad("ends with a stack that is not one value");
        tree_.root_ = stack_.back();
        return std::move(tree_);
      }
      YOKE_RETURN_IF_ERROR(Step(opcode));
      if (tree_.nodes_->size() > kMaxNodes || stack_.size() > kMaxNodes ||
          marks_.size() > kMaxNodes)
        return Bad("holds more than 2 million values");
    }
  }

 private:
  static constexpr size_t kMaxBytes = 64 << 20, kMaxNodes = 2'000'000, kMaxMemo = 1'000'000,
                          kMaxString = 16 << 20;

  absl::Status Bad(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("its pickle ", what, " (byte ", at_, ")"));
  }
  bool Has(uint64_t count) const { return count <= bytes_.size() - at_; }

  PickleNode* New(Kind kind) {
    tree_.nodes_->emplace_back();
    tree_.nodes_->back().kind = kind;
    return &tree_.nodes_->back();
  }
  void Push(PickleNode* node) { stack_.push_back(node); }
  absl::Status PushInteger(int64_t value, Kind kind = Kind::kInteger) {
    PickleNode* node = New(kind);
    node->integer = value;
    Push(node);
    return absl::OkStatus();
  }
  // Values below the innermost mark belong to somebody else.
  size_t Available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  absl::StatusOr<PickleNode*> Pop() {
    if (Available() == 0) return Bad("takes a value that is not there");
    PickleNode* node = stack_.back();
    stack_.pop_back();
    return node;
  }
  absl::StatusOr<std::vector<PickleNode*>> PopToMark() {
    if (marks_.empty()) return Bad("uses a mark that is not there");
    std::vector<PickleNode*> items(stack_.begin() + marks_.back(), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  template <typename T>
  absl::StatusOr<T> Number() {
    if (!Has(sizeof(T))) return Bad("breaks off");
    T value;
    std::memcpy(&value, &bytes_[at_], sizeof value);
    at_ += sizeof value;
    return value;
  }
  absl::StatusOr<std::string> Text(uint64_t size) {
    if (size > kMaxString) return Bad("holds a string of more than 16 MiB");
    if (!Has(size)) return Bad("breaks off");
    std::string text(reinterpret_cast<const char*>(bytes_.data() + at_), size);
    at_ += size;
    return text;
  }
  absl::StatusOr<std::string> Line() {
    const size_t begin = at_;
    while (at_ < bytes_.size() && bytes_[at_] != '\n') ++at_;
    if (at_ == bytes_.size() || at_ - begin > 1000) return Bad("breaks off in a name");
    return std::string(reinterpret_cast<const char*>(bytes_.data() + begin), at_++ - begin);
  }

  absl::Status PushText(Kind kind, uint64_t size) {
    YOKE_ASSIGN_OR_RETURN(std::string text, Text(size));
    PickleNode* node = New(kind);
    node->text = std::move(text);
    Push(node);
    return absl::OkStatus();
  }
  absl::Status PushGlobal(const std::string& module, const std::string& name) {
    const std::string global = absl::StrCat(module, ".", name);
    if (!IsAllowedGlobal(global)) {
      return absl::InvalidArgumentError(
          absl::StrCat("it names ", absl::CEscape(global),
                       ", which no weights need; it is refused and nothing in it was run",
                       name == "getattr" ? " (a model that was fused before it was saved has this; "
                                           "save it as training left it)"
                                         : ""));
    }
    PickleNode* node = New(Kind::kGlobal);
    node->text = global;
    Push(node);
    return absl::OkStatus();
  }
  absl::Status PushTuple(size_t count) {
    if (Available() < count) return Bad("takes a value that is not there");
    PickleNode* node = New(Kind::kTuple);
    node->items.assign(stack_.end() - count, stack_.end());
    stack_.resize(stack_.size() - count);
    Push(node);
    return absl::OkStatus();
  }
  absl::Status Remember(uint64_t index) {
    if (Available() == 0) return Bad("remembers a value that is not there");
    if (memo_.size() >= kMaxMemo) return Bad("remembers more than a million values");
    memo_[index] = stack_.back();
    return absl::OkStatus();
  }
  absl::Status Recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) return Bad("recalls a value that it never remembered");
    Push(found->second);
    return absl::OkStatus();
  }
  absl::Status Append(const std::vector<PickleNode*>& items) {
    if (Available() == 0) return Bad("appends to nothing");
    PickleNode* list = stack_.back();
    if (list->kind != Kind::kList && list->kind != Kind::kSet && list->kind != Kind::kObject)
      return Bad("appends to something that is no list");
    list->items.insert(list->items.end(), items.begin(), items.end());
    return absl::OkStatus();
  }
  absl::Status SetItems(const std::vector<PickleNode*>& items) {
    if (Available() == 0 || items.size() % 2 != 0) return Bad("sets items without keys");
    PickleNode* dict = stack_.back();
    if (dict->kind != Kind::kDict && dict->kind != Kind::kObject)
      return Bad("sets items of something that is no dict");
    for (size_t i = 0; i < items.size(); i += 2) dict->entries.emplace_back(items[i], items[i + 1]);
    return absl::OkStatus();
  }
  absl::Status MakeObject() {
    YOKE_ASSIGN_OR_RETURN(PickleNode * args, Pop());
    YOKE_ASSIGN_OR_RETURN(PickleNode * callable, Pop());
    if (callable->kind != Kind::kGlobal || args->kind != Kind::kTuple)
      return Bad("calls something that is no name");
    PickleNode* node = New(Kind::kObject);
    node->callable = callable;
    node->args = args;
    Push(node);
    return absl::OkStatus();
  }
  absl::Status Build() {
    YOKE_ASSIGN_OR_RETURN(PickleNode * state, Pop());
    if (Available() == 0 || stack_.back()->kind != Kind::kObject)
      return Bad("gives a state to something that is no object");
    stack_.back()->state = state;
    return absl::OkStatus();
  }
  absl::Status PushLong(uint64_t size) {
    if (size > 8 || !Has(size)) return Bad("holds an integer of more than 8 bytes");
    uint64_t value = 0;
    for (uint64_t i = 0; i < size; ++i) value |= uint64_t{bytes_[at_ + i]} << (8 * i);
    if (size > 0 && size < 8 && (bytes_[at_ + size - 1] & 0x80))
      value |= ~uint64_t{0} << (8 * size);
    at_ += size;
    return PushInteger(static_cast<int64_t>(value));
  }

  absl::Status Step(uint8_t opcode);

  absl::Span<const uint8_t> bytes_;
  size_t at_ = 0;
  PickleTree tree_;
  std::vector<PickleNode*> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, PickleNode*> memo_;
};

#define YOKE_NUMBER(name, type) YOKE_ASSIGN_OR_RETURN(const type name, Number<type>())

absl::Status PickleMachine::Step(uint8_t opcode) {
  switch (opcode) {
    case 0x80: {  // PROTO
      YOKE_NUMBER(protocol, uint8_t);
      return protocol >= 2 && protocol <= 5 ? absl::OkStatus()
                                            : Bad(absl::StrCat("has protocol ", int{protocol}));
    }
    case 0x95:
      return Number<uint64_t>().status();  // FRAME
    case '(':
      marks_.push_back(stack_.size());
      return absl::OkStatus();
    case 'N':
      Push(New(Kind::kNone));
      return absl::OkStatus();
    case 0x88:
      return PushInteger(1, Kind::kBool);
    case 0x89:
      return PushInteger(0, Kind::kBool);
    case 'K': {
      YOKE_NUMBER(value, uint8_t);
      return PushInteger(value);
    }
    case 'M': {
      YOKE_NUMBER(value, uint16_t);
      return PushInteger(value);
    }
    case 'J': {
      YOKE_NUMBER(value, int32_t);
      return PushInteger(value);
    }
    case 0x8a: {
      YOKE_NUMBER(size, uint8_t);
      return PushLong(size);
    }
    case 'G': {  // BINFLOAT, big-endian
      YOKE_NUMBER(bits, uint64_t);
      PickleNode* node = New(Kind::kFloat);
      node->real = std::bit_cast<double>(__builtin_bswap64(bits));
      Push(node);
      return absl::OkStatus();
    }
    case 'X': {
      YOKE_NUMBER(size, uint32_t);
      return PushText(Kind::kString, size);
    }
    case 0x8c: {
      YOKE_NUMBER(size, uint8_t);
      return PushText(Kind::kString, size);
    }
    case 'C': {
      YOKE_NUMBER(size, uint8_t);
      return PushText(Kind::kBytes, size);
    }
    case 'B': {
      YOKE_NUMBER(size, uint32_t);
      return PushText(Kind::kBytes, size);
    }
    case ']':
      Push(New(Kind::kList));
      return absl::OkStatus();
    case '}':
      Push(New(Kind::kDict));
      return absl::OkStatus();
    case 0x8f:
      Push(New(Kind::kSet));
      return absl::OkStatus();
    case ')':
      return PushTuple(0);
    case 0x85:
      return PushTuple(1);
    case 0x86:
      return PushTuple(2);
    case 0x87:
      return PushTuple(3);
    case 't': {
      if (marks_.empty()) return Bad("uses a mark that is not there");
      const size_t count = stack_.size() - marks_.back();
      marks_.pop_back();
      return PushTuple(count);
    }
    case 'a': {
      YOKE_ASSIGN_OR_RETURN(PickleNode * item, Pop());
      return Append({item});
    }
    case 'e':
    case 0x90: {
      YOKE_ASSIGN_OR_RETURN(const auto items, PopToMark());
      return Append(items);
    }
    case 's': {
      YOKE_ASSIGN_OR_RETURN(PickleNode * value, Pop());
      YOKE_ASSIGN_OR_RETURN(PickleNode * key, Pop());
      return SetItems({key, value});
    }
    case 'u': {
      YOKE_ASSIGN_OR_RETURN(const auto items, PopToMark());
      return SetItems(items);
    }
    case 'q': {
      YOKE_NUMBER(index, uint8_t);
      return Remember(index);
    }
    case 'r': {
      YOKE_NUMBER(index, uint32_t);
      return Remember(index);
    }
    case 0x94:
      return Remember(memo_.size());
    case 'h': {
      YOKE_NUMBER(index, uint8_t);
      return Recall(index);
    }
    case 'j': {
      YOKE_NUMBER(index, uint32_t);
      return Recall(index);
    }
    case 'c': {
      YOKE_ASSIGN_OR_RETURN(const std::string module, Line());
      YOKE_ASSIGN_OR_RETURN(const std::string name, Line());
      return PushGlobal(module, name);
    }
    case 0x93: {  // STACK_GLOBAL
      YOKE_ASSIGN_OR_RETURN(PickleNode * name, Pop());
      YOKE_ASSIGN_OR_RETURN(PickleNode * module, Pop());
      if (name->kind != Kind::kString || module->kind != Kind::kString)
        return Bad("names something that is no text");
      return PushGlobal(module->text, name->text);
    }
    case 'R':
    case 0x81:
      return MakeObject();  // REDUCE, NEWOBJ
    case 'b':
      return Build();
    case 'Q': {  // BINPERSID
      YOKE_ASSIGN_OR_RETURN(PickleNode * id, Pop());
      PickleNode* node = New(Kind::kPersistentId);
      node->args = id;
      Push(node);
      return absl::OkStatus();
    }
    default:
      return Bad(absl::StrCat("uses the opcode 0x", absl::Hex(opcode, absl::kZeroPad2),
                              ", which no weights need"));
  }
}

#undef YOKE_NUMBER

absl::StatusOr<PickleTree> Unpickle(absl::Span<const uint8_t> bytes) {
  return PickleMachine(bytes).Run();
}

}  // namespace yoke::formats
