#include "server/engine/data/image_arena.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/file_use.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/fingerprint.h"
#include "server/engine/data/host_memory.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kArenaMagic = 0x31414d49454b4f59;  // "YOKEIMA1"
constexpr size_t kPage = 4096, kAlignment = 64;
constexpr char kArenaEnding[] = ".images";
constexpr int kOpenTriesMax = 10;

enum State : uint32_t { kEmpty, kClaimed, kReady, kNever };

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Of the images' files, as far as a look at the folder tells, and of what is made of them.
std::string KeyOf(const Split& split, int imgsz, bool by_device) {
  Fingerprint fingerprint;
  fingerprint.Add(imgsz);
  fingerprint.Add(by_device);
  for (const Sample& sample : split.samples) {
    struct stat info = {};
    ::stat(sample.image_path.c_str(), &info);
    fingerprint.Add(sample.image_path);
    fingerprint.Add(info.st_size);
    fingerprint.Add(int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec);
  }
  return fingerprint.Hex();
}

int64_t PixelBytes(const Split& split, int imgsz) {
  int64_t bytes = 0;
  for (const Sample& sample : split.samples) {
    const double longest = std::max({sample.width, sample.height, 1});
    const double ratio = imgsz / longest;
    const auto side = [&](int length) { return static_cast<int64_t>(length * ratio) + 2; };
    bytes +=
        static_cast<int64_t>(RoundUp(3 * side(sample.width) * side(sample.height), kAlignment));
  }
  return bytes;
}

std::vector<fs::path> ArenasIn(const std::string& folder) {
  std::vector<fs::path> arenas;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (absl::EndsWith(entry.path().string(), kArenaEnding)) arenas.push_back(entry.path());
  }
  std::sort(arenas.begin(), arenas.end(), [](const fs::path& a, const fs::path& b) {
    std::error_code gone;
    return fs::last_write_time(a, gone) < fs::last_write_time(b, gone);
  });
  return arenas;
}

// What a sparse file takes.
int64_t BytesOf(const fs::path& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 ? int64_t{info.st_blocks} * 512 : 0;
}

// Bytes for another arena in `folder`, `wanted` if possible.
int64_t MakeRoom(const std::string& folder, const std::string& except, int64_t wanted,
                 int64_t budget) {
  const std::vector<fs::path> arenas = ArenasIn(folder);
  int64_t left = budget;
  for (const fs::path& arena : arenas) left -= arena == except ? 0 : BytesOf(arena);
  for (const fs::path& arena : arenas) {
    if (left >= wanted) break;
    const int64_t bytes = BytesOf(arena);
    if (arena != except && RemoveUnused(arena)) left += bytes;
  }
  return std::clamp<int64_t>(left, 0, wanted);
}

}  // namespace

struct ImageArena::Header {
  uint64_t magic = 0;
  uint64_t entries = 0, capacity = 0;
  std::atomic<uint64_t> used{0};  // bytes of pixels given away
};

struct ImageArena::Entry {
  std::atomic<uint32_t> state{kEmpty};
  int32_t rows = 0, cols = 0;
  int32_t original_width = 0, original_height = 0;
  uint32_t reserved = 0;
  uint64_t offset = 0;    // in the pixels
  uint64_t checksum = 0;  // of the pixels
};

absl::StatusOr<std::shared_ptr<ImageArena>> ImageArena::Open(ArenaKind kind,
                                                             const std::string& folder,
                                                             const Split& split, int imgsz,
                                                             int64_t budget, bool by_device) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return FileError(folder, "make", error.value());
  fs::permissions(folder, fs::perms::owner_all, error);
  auto arena = std::shared_ptr<ImageArena>(new ImageArena());
  arena->kind_ = kind;
  arena->path_ = absl::StrCat(folder, "/", KeyOf(split, imgsz, by_device), kArenaEnding);
  arena->needed_ = PixelBytes(split, imgsz);
  const auto entries = static_cast<int64_t>(split.samples.size());
  const auto head =
      static_cast<int64_t>(RoundUp(sizeof(Header) + split.samples.size() * sizeof(Entry), kPage));
  // Others may remove the file between two of these steps; then it is made anew.
  for (int tries = 0; tries < kOpenTriesMax; ++tries) {
    const int fd = ::open(arena->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return FileError(arena->path_, "open", errno);
    arena->fd_ = fd;
    if (IsOnlyUser(fd) && IsFileAt(arena->path_, fd)) {
      struct stat info = {};
      ::fstat(fd, &info);
      if (info.st_size < head) {
        const int64_t room = MakeRoom(folder, arena->path_, arena->needed_, budget - head);
        if (::ftruncate(fd, head + room) != 0) return FileError(arena->path_, "extend", errno);
        arena->capacity_ = room;
      }
      YOKE_RETURN_IF_ERROR(arena->Map(fd, entries, /*alone=*/true));
    }
    // Waits while somebody repairs it.
    if (::flock(fd, LOCK_SH) != 0) return FileError(arena->path_, "lock", errno);
    if (IsFileAt(arena->path_, fd)) {
      if (arena->header_ == nullptr) YOKE_RETURN_IF_ERROR(arena->Map(fd, entries, /*alone=*/false));
      ::futimens(fd, nullptr);  // used now
      arena->known_ = std::vector<std::atomic<bool>>(split.samples.size());
      return arena;
    }
    auto anew = std::shared_ptr<ImageArena>(new ImageArena());
    anew->kind_ = kind;
    anew->path_ = arena->path_;
    anew->needed_ = arena->needed_;
    arena = anew;
  }
  return absl::UnavailableError(absl::StrCat(arena->path_, ": others keep removing it"));
}

absl::Status ImageArena::Map(int fd, int64_t entries, bool alone) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return FileError(path_, "look at", errno);
  const auto count = static_cast<size_t>(entries);
  head_bytes_ = RoundUp(sizeof(Header) + count * sizeof(Entry), kPage);
  file_bytes_ = static_cast<size_t>(info.st_size);
  if (file_bytes_ < head_bytes_)
    return absl::UnavailableError(absl::StrCat(path_, ": too short; remove it"));
  void* head = ::mmap(nullptr, head_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (head == MAP_FAILED) return FileError(path_, "map", errno);
  header_ = static_cast<Header*>(head);
  entries_ = reinterpret_cast<Entry*>(header_ + 1);
  void* whole = ::mmap(nullptr, file_bytes_, PROT_READ, MAP_SHARED, fd, 0);
  if (whole == MAP_FAILED) return FileError(path_, "map", errno);
  file_ = static_cast<const unsigned char*>(whole);
  const uint64_t room = file_bytes_ - head_bytes_;
  const auto fits = [&] {
    return header_->magic == kArenaMagic && header_->entries == count && header_->capacity == room;
  };
  if (alone && !fits()) {  // new, or of a machine that lost power
    std::memset(head, 0, head_bytes_);
    header_->entries = count;
    header_->capacity = room;
    header_->magic = kArenaMagic;
  }
  if (!fits()) {
    return absl::UnavailableError(absl::StrCat(path_, ": damaged; remove it"));
  }
  capacity_ = static_cast<int64_t>(room);
  for (size_t i = 0; alone && i < count; ++i) {
    uint32_t claimed = kClaimed;  // by one that died
    entries_[i].state.compare_exchange_strong(claimed, kEmpty);
  }
  return absl::OkStatus();
}

ImageArena::~ImageArena() {
  if (header_ != nullptr) ::munmap(header_, head_bytes_);
  if (file_ != nullptr) ::munmap(const_cast<unsigned char*>(file_), file_bytes_);
  if (fd_ < 0) return;
  if (kind_ == ArenaKind::kMemory && IsOnlyUser(fd_) && IsFileAt(path_, fd_))
    ::unlink(path_.c_str());
  ::close(fd_);
}

bool ImageArena::Intact(size_t sample, const Entry& entry) {
  if (kind_ == ArenaKind::kMemory || known_[sample].load(std::memory_order_relaxed)) return true;
  Fingerprint fingerprint;
  fingerprint.Add({reinterpret_cast<const char*>(file_ + head_bytes_ + entry.offset),
                   size_t{3} * static_cast<size_t>(entry.rows) * static_cast<size_t>(entry.cols)});
  if (fingerprint.low() != entry.checksum) return false;
  known_[sample].store(true, std::memory_order_relaxed);
  return true;
}

std::optional<StoredImage> ImageArena::Find(int64_t sample) {
  const auto index = static_cast<size_t>(sample);
  Entry& entry = entries_[index];
  if (entry.state.load(std::memory_order_acquire) != kReady) return std::nullopt;
  const auto room = static_cast<uint64_t>(capacity_);
  const bool sane = entry.rows > 0 && entry.cols > 0 && entry.rows < (1 << 16) &&
                    entry.cols < (1 << 16) && entry.offset <= room &&
                    uint64_t{3} * entry.rows * entry.cols <= room - entry.offset;
  if (!sane || !Intact(index, entry)) {
    entry.state.store(kNever);  // of a machine that lost power; decoded each time from now on
    return std::nullopt;
  }
  auto* pixels = const_cast<unsigned char*>(file_ + head_bytes_ + entry.offset);
  return StoredImage{.bgr = cv::Mat(entry.rows, entry.cols, CV_8UC3, pixels),
                     .original = {entry.original_width, entry.original_height}};
}

void ImageArena::Store(int64_t sample, const StoredImage& image) {
  Entry& entry = entries_[static_cast<size_t>(sample)];
  uint32_t empty = kEmpty;
  if (!image.bgr.isContinuous() || !entry.state.compare_exchange_strong(empty, kClaimed)) return;
  const size_t bytes = image.bgr.total() * image.bgr.elemSize();
  const uint64_t offset = header_->used.fetch_add(RoundUp(bytes, kAlignment));
  const auto* from = image.bgr.ptr<char>();
  bool stored = offset + bytes <= static_cast<uint64_t>(capacity_);
  // Written, not copied into the map: a full disk is then an error instead of a signal.
  for (size_t done = 0; stored && done < bytes;) {
    const ssize_t n =
        ::pwrite(fd_, from + done, bytes - done, static_cast<off_t>(head_bytes_ + offset + done));
    if (n < 0 && errno == EINTR) continue;
    stored = n > 0;
    done += stored ? static_cast<size_t>(n) : 0;
  }
  if (!stored) {
    entry.state.store(kNever);
    return;
  }
  Fingerprint fingerprint;
  if (kind_ == ArenaKind::kDisk) fingerprint.Add({from, bytes});
  entry.rows = image.bgr.rows;
  entry.cols = image.bgr.cols;
  entry.original_width = image.original.width;
  entry.original_height = image.original.height;
  entry.offset = offset;
  entry.checksum = fingerprint.low();
  entry.state.store(kReady, std::memory_order_release);
}

std::string ArenaFolder(ArenaKind kind, const std::string& cache_dir) {
  if (kind == ArenaKind::kDisk) return cache_dir + "/images";
  return SharedMemoryFolder();
}

int64_t ArenaBudget(ArenaKind kind, const std::string& folder) {
  int64_t held = 0;
  for (const fs::path& arena : ArenasIn(folder)) held += BytesOf(arena);
  struct statvfs disk = {};
  const std::string parent = fs::path(folder).parent_path();
  if (::statvfs(parent.c_str(), &disk) != 0) return 0;
  const int64_t room = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
  if (kind == ArenaKind::kDisk) return (room + held) / 2;
  return held + std::min(room, FreeHostMemory()) / 2;
}

}  // namespace yoke::engine
