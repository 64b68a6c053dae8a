#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/torch_archive.h"

namespace yoke::engine {
namespace {

using formats::PickleNode;
using Kind = PickleNode::Kind;

constexpr size_t kMaxDimensions = 8;
constexpr off_t kMaxFileBytes = off_t{4} << 30;

absl::Status WithPath(const std::string& path, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
}

absl::Status ReadWhole(int fd, std::vector<uint8_t>& bytes) {
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return absl::InvalidArgumentError("not a regular file");
  if (info.st_size == 0) return absl::InvalidArgumentError("the file is empty");
  if (info.st_size > kMaxFileBytes)
    return absl::InvalidArgumentError("larger than 4 GiB, which no YOLOv8 weights are");
  bytes.resize(info.st_size);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = read(fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::InvalidArgumentError(std::strerror(errno));
    if (got == 0) break;
    done += got;
  }
  bytes.resize(done);
  return absl::OkStatus();
}

absl::StatusOr<at::ScalarType> TypeOfStorage(const std::string& global) {
  static constexpr std::pair<const char*, at::ScalarType> kTypes[] = {
      {"torch.FloatStorage", at::kFloat},   {"torch.HalfStorage", at::kHalf},
      {"torch.DoubleStorage", at::kDouble}, {"torch.BFloat16Storage", at::kBFloat16},
      {"torch.LongStorage", at::kLong},     {"torch.IntStorage", at::kInt},
      {"torch.ByteStorage", at::kByte},     {"torch.BoolStorage", at::kBool}};
  for (const auto& [name, type] : kTypes) {
    if (global == name) return type;
  }
  return absl::InvalidArgumentError(absl::StrCat("it has a tensor of the type ", global));
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

absl::StatusOr<std::unique_ptr<TorchArchive>> TorchArchive::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  std::unique_ptr<TorchArchive> archive(new TorchArchive());
  const absl::Status read = ReadWhole(fd, archive->bytes_);
  close(fd);
  if (!read.ok()) return WithPath(path, read);

  auto zip = formats::ZipReader::Open(archive->bytes_);
  if (!zip.ok()) return WithPath(path, zip.status());
  archive->zip_ = std::make_unique<formats::ZipReader>(*std::move(zip));
  std::string pickle;
  for (const std::string& name : archive->zip_->names()) {
    if (!absl::EndsWith(name, "/data.pkl")) continue;
    if (!pickle.empty())
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": a zip archive with two pickles; these are no weights"));
    pickle = name;
  }
  if (pickle.empty())
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a zip archive without weights (no data.pkl in it)"));
  archive->prefix_ = pickle.substr(0, pickle.size() - std::strlen("data.pkl"));
  auto bytes = archive->zip_->Read(pickle);
  if (!bytes.ok()) return WithPath(path, bytes.status());
  auto tree = formats::Unpickle(*bytes);
  if (!tree.ok()) return WithPath(path, tree.status());
  archive->tree_ = std::make_unique<formats::PickleTree>(*std::move(tree));
  return archive;
}

TorchArchive::~TorchArchive() = default;

bool TorchArchive::IsTensor(const PickleNode& node) {
  const std::string& name = node.class_name();
  return name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_parameter";
}

absl::StatusOr<at::Tensor> TorchArchive::ReadTensor(const PickleNode& node) const {
  const PickleNode* tensor = &node;
  if (tensor->class_name() == "torch._utils._rebuild_parameter" && !tensor->args->items.empty())
    tensor = tensor->args->items[0];
  if (tensor->class_name() != "torch._utils._rebuild_tensor_v2" || tensor->args->items.size() < 4)
    return absl::InvalidArgumentError("it has a tensor that is none");
  const auto& args = tensor->args->items;
  const PickleNode* id = args[0]->kind == Kind::kPersistentId ? args[0]->args : nullptr;
  if (id == nullptr || id->kind != Kind::kTuple || id->items.size() < 5 ||
      id->items[1]->kind != Kind::kGlobal || id->items[2]->kind != Kind::kString ||
      args[1]->kind != Kind::kInteger || args[1]->integer < 0)
    return absl::InvalidArgumentError("it has a tensor without a storage");
  YOKE_ASSIGN_OR_RETURN(const at::ScalarType type, TypeOfStorage(id->items[1]->text));
  YOKE_ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, Integers(*args[2]));
  YOKE_ASSIGN_OR_RETURN(const std::vector<int64_t> strides, Integers(*args[3]));
  if (sizes.size() != strides.size())
    return absl::InvalidArgumentError("it has a tensor with more sizes than strides");
  YOKE_ASSIGN_OR_RETURN(const auto storage,
                        zip_->Read(absl::StrCat(prefix_, "data/", id->items[2]->text)));

  const size_t item_size = at::elementSize(type);
  const __int128 items = storage.size() / item_size;
  __int128 last = args[1]->integer, numel = 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    numel *= sizes[i];
    last += static_cast<__int128>(std::max<int64_t>(sizes[i] - 1, 0)) * strides[i];
    if (numel > items || last > items) break;
  }
  if (numel > items || (numel > 0 && last >= items))
    return absl::InvalidArgumentError("it has a tensor that reaches outside its storage");
  if (numel == 0) return at::empty(sizes, at::TensorOptions(type));
  auto* base = const_cast<uint8_t*>(storage.data()) + args[1]->integer * item_size;
  // A storage may lie at any byte of the file; elements are read where the processor wants them.
  const at::Tensor bytes =
      at::empty({static_cast<int64_t>((last - args[1]->integer + 1) * item_size)}, at::kByte);
  std::memcpy(bytes.data_ptr(), base, bytes.numel());
  return at::from_blob(bytes.data_ptr(), sizes, strides, at::TensorOptions(type)).clone();
}

}  // namespace yoke::engine
