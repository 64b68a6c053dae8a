// Decoded images of one data set in one mapped file, shared by all ranks and jobs of a machine.
//
// File: a header, one entry an image, then pixels in the order of their coming, each image once.
// Whoever decodes an image first stores it; an entry is claimed and published by atomic operations
// on the mapped header, so nobody waits for anybody, and one who dies on the way leaves a claimed
// entry that others do without. The file is locked shared while in use; whoever can lock it
// exclusively is alone and may repair or remove it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/stored_image.h"

namespace yoke::engine {

enum class ArenaKind {
  kMemory,  // lies in memory; the last who uses it removes it
  kDisk,    // stays for the next training; pixels are checked when first used
};

class ImageArena {
 public:
  // For `split`'s images as decoded for `imgsz`. `folder` is made if missing. `budget`: bytes that
  // all arenas in `folder` may have; to make room, those that nobody uses are removed, the one
  // used longest ago first. An image that changes on disk is another image, and so is one that a
  // JpegDecoder may have decoded (`by_device`). Unavailable,
  // PermissionDenied, ResourceExhausted: no cache, for the reason given with the path.
  static absl::StatusOr<std::shared_ptr<ImageArena>> Open(ArenaKind kind, const std::string& folder,
                                                          const Split& split, int imgsz,
                                                          int64_t budget, bool by_device = false);
  ~ImageArena();
  ImageArena(const ImageArena&) = delete;
  ImageArena& operator=(const ImageArena&) = delete;

  // Thread-safe. The pixels are mapped read-only and live as long as the arena.
  std::optional<StoredImage> Find(int64_t sample);
  // Keeps a copy, if there is room and nobody else does so.
  void Store(int64_t sample, const StoredImage& image);

  int64_t capacity() const { return capacity_; }  // bytes of pixels
  int64_t needed() const { return needed_; }      // at most, for all images

 private:
  struct Header;
  struct Entry;

  ImageArena() = default;
  // alone: also writes a new file's header and repairs an old one.
  absl::Status Map(int fd, int64_t entries, bool alone);
  bool Intact(size_t sample, const Entry& entry);

  ArenaKind kind_ = ArenaKind::kMemory;
  std::string path_;
  int fd_ = -1;
  int64_t capacity_ = 0, needed_ = 0;
  size_t head_bytes_ = 0, file_bytes_ = 0;
  Header* header_ = nullptr;              // writable
  Entry* entries_ = nullptr;              // behind it
  const unsigned char* file_ = nullptr;   // all of it, read-only
  std::vector<std::atomic<bool>> known_;  // checked by this process
};

// Where arenas in memory lie for this user, and what they may take: half of the memory that is free
// now, or of the room there. For arenas on disk: half of the free space of `cache_dir`'s disk and
// what is cached there already.
std::string ArenaFolder(ArenaKind kind, const std::string& cache_dir);
int64_t ArenaBudget(ArenaKind kind, const std::string& folder);

}  // namespace yoke::engine
