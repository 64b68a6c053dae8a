#include "common/formats/torch_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/printable.h"

namespace yoke::formats {
namespace {

using Kind = PickleNode::Kind;

constexpr size_t kMaxDimensions = 8;
constexpr char kPickle[] = "data.pkl", kPlain[] = "torch._utils._rebuild_tensor_v2",
               kParameter[] = "torch._utils._rebuild_parameter";

// How torch.save began its files before it wrote zip archives: a number, pickled.
constexpr unsigned char kBeforeZip[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                        0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};

struct StorageType {
  const char* global;
  ElementType type;
};
constexpr StorageType kStorages[] = {{"torch.FloatStorage", ElementType::kFloat32},
                                     {"torch.HalfStorage", ElementType::kFloat16},
                                     {"torch.DoubleStorage", ElementType::kFloat64},
                                     {"torch.BFloat16Storage", ElementType::kBFloat16},
                                     {"torch.LongStorage", ElementType::kInt64},
                                     {"torch.IntStorage", ElementType::kInt32},
                                     {"torch.ShortStorage", ElementType::kInt16},
                                     {"torch.CharStorage", ElementType::kInt8},
                                     {"torch.ByteStorage", ElementType::kUint8},
                                     {"torch.BoolStorage", ElementType::kBool}};

absl::StatusOr<ElementType> TypeOfStorage(const std::string& global) {
  for (const StorageType& known : kStorages) {
    if (global == known.global) return known.type;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("it has a tensor of the type ", Printable(global)));
}

absl::StatusOr<std::vector<int64_t>> Integers(const PickleNode& node) {
  const PickleNode* tuple = &node;
  if (node.class_name() == "torch.Size" && node.args->items.size() == 1)
    tuple = node.args->items[0];
  if (tuple->kind != Kind::kTuple || tuple->items.size() > kMaxDimensions)
    return absl::InvalidArgumentError("it has a tensor without a proper shape");
  std::vector<int64_t> values;
  for (const PickleNode* item : tuple->items) {
    if (item->kind != Kind::kInteger || item->integer < 0)
      return absl::InvalidArgumentError("it has a tensor with a negative size or stride");
    values.push_back(item->integer);
  }
  return values;
}

}  // namespace

int ElementBytes(ElementType type) {
  switch (type) {
    case ElementType::kFloat64:
    case ElementType::kInt64:
      return 8;
    case ElementType::kFloat32:
    case ElementType::kInt32:
      return 4;
    case ElementType::kFloat16:
    case ElementType::kBFloat16:
    case ElementType::kInt16:
      return 2;
    case ElementType::kInt8:
    case ElementType::kUint8:
    case ElementType::kBool:
      return 1;
  }
  return 1;
}

absl::StatusOr<TorchFile> TorchFile::Open(absl::Span<const uint8_t> bytes) {
  if (absl::StartsWith({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                       {reinterpret_cast<const char*>(kBeforeZip), sizeof kBeforeZip})) {
    return absl::InvalidArgumentError(
        "in the format of PyTorch before 1.6; load it with PyTorch and save it again");
  }
  YOKE_ASSIGN_OR_RETURN(ZipReader zip, ZipReader::Open(bytes));
  std::string pickle;
  for (const std::string& name : zip.names()) {
    if (!absl::EndsWith(name, absl::StrCat("/", kPickle))) continue;
    if (!pickle.empty())
      return absl::InvalidArgumentError("a zip archive with two pickles; these are no weights");
    pickle = name;
  }
  if (pickle.empty())
    return absl::InvalidArgumentError("a zip archive without weights (no data.pkl in it)");
  const std::string prefix = pickle.substr(0, pickle.size() - std::strlen(kPickle));
  if (zip.Contains(prefix + "constants.pkl"))
    return absl::InvalidArgumentError("a TorchScript export; give the weights it was made from");
  if (zip.Contains(prefix + "byteorder")) {
    YOKE_ASSIGN_OR_RETURN(const auto order, zip.Read(prefix + "byteorder"));
    if (std::string(order.begin(), order.end()) != "little")
      return absl::InvalidArgumentError(
          "its numbers are not little-endian; save it again on a common machine");
  }
  YOKE_ASSIGN_OR_RETURN(const auto text, zip.Read(pickle));
  YOKE_ASSIGN_OR_RETURN(PickleTree tree, Unpickle(text));
  return TorchFile(std::move(zip), std::move(tree), prefix);
}

bool TorchFile::IsTensor(const PickleNode& node) {
  return node.class_name() == kPlain || node.class_name() == kParameter;
}

absl::StatusOr<absl::Span<const uint8_t>> TorchFile::Storage(const std::string& key) const {
  const auto known = checked_.find(key);
  if (known != checked_.end()) return known->second;
  YOKE_ASSIGN_OR_RETURN(const auto bytes, zip_.Read(absl::StrCat(prefix_, "data/", key)));
  checked_.emplace(key, bytes);
  return bytes;
}

absl::StatusOr<StoredTensor> TorchFile::Tensor(const PickleNode& node) const {
  const PickleNode* tensor = &node;
  if (tensor->class_name() == kParameter && !tensor->args->items.empty())
    tensor = tensor->args->items[0];
  if (tensor->class_name() != kPlain || tensor->args->items.size() < 4)
    return absl::InvalidArgumentError("it has a tensor that is none");
  const auto& args = tensor->args->items;
  const PickleNode* id = args[0]->kind == Kind::kPersistentId ? args[0]->args : nullptr;
  if (id == nullptr || id->kind != Kind::kTuple || id->items.size() < 5 ||
      id->items[1]->kind != Kind::kGlobal || id->items[2]->kind != Kind::kString ||
      id->items[4]->kind != Kind::kInteger || args[1]->kind != Kind::kInteger ||
      args[1]->integer < 0)
    return absl::InvalidArgumentError("it has a tensor without a storage");
  StoredTensor stored;
  YOKE_ASSIGN_OR_RETURN(stored.type, TypeOfStorage(id->items[1]->text));
  YOKE_ASSIGN_OR_RETURN(stored.sizes, Integers(*args[2]));
  YOKE_ASSIGN_OR_RETURN(stored.strides, Integers(*args[3]));
  if (stored.sizes.size() != stored.strides.size())
    return absl::InvalidArgumentError("it has a tensor with more sizes than strides");
  YOKE_ASSIGN_OR_RETURN(const auto storage, Storage(id->items[2]->text));
  const uint64_t item_bytes = ElementBytes(stored.type);
  const __int128 items = storage.size() / item_bytes;
  if (storage.size() % item_bytes != 0 || items != id->items[4]->integer)
    return absl::InvalidArgumentError(
        absl::StrCat("the storage ", Printable(id->items[2]->text), " is not as long as it says"));

  const int64_t offset = args[1]->integer;
  __int128 last = offset, count = 1;
  for (size_t i = 0; i < stored.sizes.size(); ++i) {
    count *= stored.sizes[i];
    last += static_cast<__int128>(std::max<int64_t>(stored.sizes[i] - 1, 0)) * stored.strides[i];
    if (count > items || last > items) break;
  }
  if (count > items || (count > 0 && last >= items))
    return absl::InvalidArgumentError("it has a tensor that reaches outside its storage");
  if (count > 0) {
    stored.bytes = storage.subspan(static_cast<size_t>(offset) * item_bytes,
                                   static_cast<size_t>(last - offset + 1) * item_bytes);
  }
  return stored;
}

}  // namespace yoke::formats
