#include "server/engine/checkpoint/torch_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace yoke::engine {
namespace {

using formats::ElementType;

constexpr off_t kMaxFileBytes = off_t{4} << 30;

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

at::ScalarType TypeOf(ElementType type) {
  switch (type) {
    case ElementType::kFloat16:
      return at::kHalf;
    case ElementType::kBFloat16:
      return at::kBFloat16;
    case ElementType::kFloat32:
      return at::kFloat;
    case ElementType::kFloat64:
      return at::kDouble;
    case ElementType::kInt64:
      return at::kLong;
    case ElementType::kInt32:
      return at::kInt;
    case ElementType::kInt16:
      return at::kShort;
    case ElementType::kInt8:
      return at::kChar;
    case ElementType::kUint8:
      return at::kByte;
    case ElementType::kBool:
      return at::kBool;
  }
  return at::kFloat;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TorchArchive>> TorchArchive::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  std::unique_ptr<TorchArchive> archive(new TorchArchive());
  absl::Status status = ReadWhole(fd, archive->bytes_);
  close(fd);
  if (status.ok()) {
    auto file = formats::TorchFile::Open(archive->bytes_);
    status = file.status();
    if (file.ok()) archive->file_ = std::make_unique<formats::TorchFile>(*std::move(file));
  }
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
  return archive;
}

at::Tensor CopyOf(const formats::StoredTensor& stored) {
  const at::ScalarType type = TypeOf(stored.type);
  if (stored.bytes.empty()) return at::empty(stored.sizes, at::TensorOptions(type));
  // A storage may lie at any byte of the file; elements are read where the processor wants them.
  const at::Tensor bytes = at::empty({static_cast<int64_t>(stored.bytes.size())}, at::kByte);
  std::memcpy(bytes.data_ptr(), stored.bytes.data(), stored.bytes.size());
  return at::from_blob(bytes.data_ptr(), stored.sizes, stored.strides, at::TensorOptions(type))
      .clone(at::MemoryFormat::Contiguous);
}

}  // namespace yoke::engine
