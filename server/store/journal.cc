#include "server/store/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "google/protobuf/unknown_field_set.h"
#include "server/jobs/state_machine.h"
#include "yoke/storage/v1/stored_job.pb.h"

namespace yoke::store {
namespace {

constexpr std::string_view kFileHeader = "YOKEJRN1";
// A frame that begins what was written and synced together, and one that continues it.
constexpr std::string_view kFirst = "YJF1";
constexpr std::string_view kMore = "YJM1";
constexpr std::string_view kMarkerStart = "YJ";
constexpr size_t kMarkerBytes = 4;
constexpr size_t kFrameHeaderBytes = 20;     // marker, length, sequence, CRC
constexpr uint32_t kPayloadMax = 64u << 20;  // a length beyond it is damage
constexpr size_t kFileMax = size_t{4} << 30;

template <typename Number>
void AppendNumber(std::string& out, Number number) {
  for (size_t i = 0; i < sizeof number; ++i) out.push_back(static_cast<char>(number >> (8 * i)));
}

template <typename Number>
Number ReadNumber(std::string_view bytes) {
  Number number = 0;
  for (size_t i = 0; i < sizeof number; ++i)
    number |= static_cast<Number>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return number;
}

// `message`: the public job, encoded.
std::string Serialise(const jobs::JobRecord& job, const std::string& message, size_t batch_left,
                      int64_t synced) {
  storage::v1::StoredJob stored;
  stored.set_id(job.id);
  stored.set_sequence(job.sequence);
  // Encoded, an unknown field is what a known one is.
  *stored.GetReflection()->MutableUnknownFields(&stored)->AddLengthDelimited(
      storage::v1::StoredJob::kJobFieldNumber) = message;
  stored.mutable_user_set()->Assign(job.user_set.begin(), job.user_set.end());
  stored.set_request_id(job.request_id);
  stored.set_request_hash(job.request_hash);
  stored.set_stop_requested(job.stop_requested);
  stored.set_stop_reason(job.stop_reason);
  stored.set_stop_grace_seconds(job.stop_grace_seconds);
  stored.set_uid(job.uid);
  stored.set_batch_left(static_cast<int32_t>(batch_left));
  stored.set_synced(synced);
  return stored.SerializeAsString();
}

bool Parse(std::string_view bytes, jobs::JobRecord& job) {
  storage::v1::StoredJob stored;
  if (!stored.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || stored.id().empty())
    return false;
  job.id = stored.id();
  job.sequence = stored.sequence();
  job.public_job = std::move(*stored.mutable_job());
  job.user_set.assign(stored.user_set().begin(), stored.user_set().end());
  job.request_id = stored.request_id();
  job.request_hash = stored.request_hash();
  job.stop_requested = stored.stop_requested();
  job.stop_reason = stored.stop_reason();
  job.stop_grace_seconds = stored.stop_grace_seconds();
  job.uid = stored.uid();
  return true;
}

std::string Frame(const jobs::JobRecord& job, const std::string& message, int64_t sequence,
                  bool first, size_t batch_left, int64_t synced) {
  const std::string payload = Serialise(job, message, batch_left, synced);
  std::string frame(first ? kFirst : kMore);
  AppendNumber(frame, static_cast<uint32_t>(payload.size()));
  AppendNumber(frame, static_cast<uint64_t>(sequence));
  AppendNumber(frame, Crc32c(payload, Crc32c(frame)));
  return frame + payload;
}

// The size of the whole, undamaged frame that `bytes` begins with; 0 if it begins with none.
size_t FrameSize(std::string_view bytes) {
  if (bytes.size() < kFrameHeaderBytes) return 0;
  const std::string_view marker = bytes.substr(0, kMarkerBytes);
  const uint32_t length = ReadNumber<uint32_t>(bytes.substr(kMarkerBytes));
  if ((marker != kFirst && marker != kMore) || length > kPayloadMax ||
      bytes.size() - kFrameHeaderBytes < length)
    return 0;
  const uint32_t crc = Crc32c(bytes.substr(kFrameHeaderBytes, length), Crc32c(bytes.substr(0, 16)));
  return crc == ReadNumber<uint32_t>(bytes.substr(16)) ? kFrameHeaderBytes + length : 0;
}

struct FoundFrame {
  size_t at = 0;
  size_t size = 0;
  int64_t sequence = 0;
  bool first = false;
};

// Empty if it cannot be read.
storage::v1::StoredJob ReadFrame(std::string_view all, const FoundFrame& frame) {
  const std::string_view bytes =
      all.substr(frame.at + kFrameHeaderBytes, frame.size - kFrameHeaderBytes);
  storage::v1::StoredJob stored;
  if (!stored.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) stored.Clear();
  return stored;
}

// All whole frames, wherever they are.
std::vector<FoundFrame> FindFrames(std::string_view bytes) {
  std::vector<FoundFrame> frames;
  for (size_t at = bytes.substr(0, kFileHeader.size()) == kFileHeader ? kFileHeader.size() : 0;
       at < bytes.size();) {
    const size_t size = FrameSize(bytes.substr(at));
    if (size > 0) {
      frames.push_back({at, size,
                        static_cast<int64_t>(ReadNumber<uint64_t>(bytes.substr(at + 8))),
                        bytes.substr(at, kMarkerBytes) == kFirst});
      at += size;
    } else {
      at = std::min(bytes.find(kMarkerStart, at + 1), bytes.size());
    }
  }
  return frames;
}

// What is behind this frame number was not certainly on the disk yet, and nobody was told of it. The
// last frame knows best.
int64_t SyncedUpTo(std::string_view all, const std::vector<FoundFrame>& frames) {
  return frames.empty() ? 0 : ReadFrame(all, frames.back()).synced();
}

// Takes out, of what was not synced, the frames behind a gap in their group.
void DropTornGroups(size_t begin, int64_t synced, std::vector<FoundFrame>& frames) {
  size_t expected = begin;
  int64_t before = 0;  // the frame that stands before
  bool torn = false;
  std::erase_if(frames, [&](const FoundFrame& frame) {
    const bool gap = frame.at != expected && before >= synced;
    torn = (torn || gap) && !frame.first;
    expected = frame.at + frame.size;
    before = frame.sequence;
    return torn;
  });
}

// Takes out, of what was not synced, batches of which a part is missing.
void DropTornBatches(std::string_view all, int64_t synced, std::vector<FoundFrame>& frames) {
  std::vector<FoundFrame> whole;
  for (size_t i = 0; i < frames.size();) {
    const int64_t left = frames[i].sequence > synced ? ReadFrame(all, frames[i]).batch_left() : 0;
    size_t end = i + 1;  // behind what is there of the batch
    while (static_cast<int64_t>(end - i) <= left && end < frames.size() &&
           frames[end].at == frames[end - 1].at + frames[end - 1].size &&
           ReadFrame(all, frames[end]).batch_left() == left - static_cast<int64_t>(end - i))
      ++end;
    if (static_cast<int64_t>(end - i) > left)
      whole.insert(whole.end(), frames.begin() + static_cast<std::ptrdiff_t>(i),
                   frames.begin() + static_cast<std::ptrdiff_t>(end));
    i = end;
  }
  frames = std::move(whole);
}

}  // namespace

absl::StatusOr<Journal::Opened> Journal::Open(const std::string& path, int64_t rewrite_min) {
  Opened opened;
  opened.journal.reset(new Journal(path, rewrite_min));
  Journal& journal = *opened.journal;
  const absl::StatusOr<std::string> bytes = os::ReadFile(path, kFileMax);
  if (!bytes.ok() && !absl::IsNotFound(bytes.status())) return bytes.status();
  opened.created = !bytes.ok();
  if (opened.created) {
    YOKE_RETURN_IF_ERROR(journal.Rewrite({}));
    return opened;
  }
  const std::string_view all = *bytes;
  size_t good_end = all.substr(0, kFileHeader.size()) == kFileHeader ? kFileHeader.size() : 0;
  std::vector<FoundFrame> frames = FindFrames(all);
  const int64_t synced = SyncedUpTo(all, frames);
  DropTornGroups(good_end, synced, frames);
  DropTornBatches(all, synced, frames);
  std::map<std::string, size_t> place;
  int64_t before = 0;  // the frame that stands before
  for (const FoundFrame& frame : frames) {
    (before >= synced ? opened.bytes_cut : opened.bytes_skipped) +=
        static_cast<int64_t>(frame.at - good_end);
    before = frame.sequence;
    good_end = frame.at + frame.size;
    jobs::JobRecord job;
    if (!Parse(all.substr(frame.at + kFrameHeaderBytes, frame.size - kFrameHeaderBytes), job)) {
      opened.bytes_skipped += static_cast<int64_t>(frame.size);
      continue;
    }
    journal.next_sequence_ = frame.sequence + 1;
    journal.Count(
        {job.id, jobs::IsTerminal(job.public_job.state()), static_cast<int64_t>(frame.size)});
    const auto [known, fresh] = place.emplace(job.id, opened.jobs.size());
    if (fresh) {
      opened.jobs.push_back(std::move(job));
    } else {
      opened.jobs[known->second] = std::move(job);
    }
  }
  // What is missing between frames would hide those behind it from an older reader, and a file
  // without its header is none of ours.
  journal.broken_ = opened.bytes_cut + opened.bytes_skipped > 0 || good_end < kFileHeader.size();
  const int64_t torn_end = static_cast<int64_t>(all.size() - good_end);
  opened.bytes_cut += torn_end;
  journal.size_ = journal.kept_ = static_cast<int64_t>(good_end);
  journal.synced_ = synced;
  journal.flushed_ = journal.next_sequence_ - 1;
  YOKE_ASSIGN_OR_RETURN(os::UniqueFd fd, os::Open(path, O_RDWR | O_APPEND));
  if (torn_end > 0) {
    if (ftruncate(fd.get(), journal.size_) != 0)
      return os::ErrnoStatus(errno, absl::StrCat("cannot cut the torn end of ", path));
    YOKE_RETURN_IF_ERROR(os::SyncFile(fd.get(), path));
  }
  {
    MutexLock lock(journal.mutex_);
    journal.fd_ = std::make_shared<os::UniqueFd>(std::move(fd));
  }
  return opened;
}

void Journal::Add(const jobs::JobRecord& job, const std::string& message, size_t batch_left) {
  const std::string frame =
      Frame(job, message, next_sequence_++, pending_.empty(), batch_left, synced_);
  added_.push_back(
      {job.id, jobs::IsTerminal(job.public_job.state()), static_cast<int64_t>(frame.size())});
  pending_ += frame;
}

absl::Status Journal::Flush() {
  if (pending_.empty()) return absl::OkStatus();
  if (broken_)
    return absl::UnavailableError(
        absl::StrCat(path_, " cannot be written to since an earlier error; try again"));
  YOKE_FAILPOINT("journal.write.before");
  const absl::Status status = os::WriteAll(File()->get(), pending_, path_);
  size_ += static_cast<int64_t>(pending_.size());
  pending_.clear();
  if (status.ok()) flushed_ = next_sequence_ - 1;
  if (!status.ok()) Undo();
  return status;
}

absl::Status Journal::Sync() {
  const int64_t flushed = flushed_;
  const std::shared_ptr<os::UniqueFd> file = File();
  YOKE_FAILPOINT("journal.sync.before");
  absl::Status status;
  if (fdatasync(file->get()) != 0) {
    status = os::ErrnoStatus(errno, absl::StrCat("cannot sync ", path_));
    // Pages may have been dropped without being written: asking again would not tell.
    broken_ = true;
  } else {
    synced_ = flushed;
  }
  YOKE_FAILPOINT("journal.sync.after");
  return status;
}

std::shared_ptr<os::UniqueFd> Journal::File() {
  MutexLock lock(mutex_);
  return fd_;
}

void Journal::Keep() {
  for (const Written& frame : added_) Count(frame);
  added_.clear();
  kept_ = size_;
}

void Journal::Undo() {
  pending_.clear();
  added_.clear();
  if (size_ == kept_) return;
  size_ = kept_;
  const std::shared_ptr<os::UniqueFd> file = File();
  if (ftruncate(file->get(), size_) != 0 || fdatasync(file->get()) != 0) broken_ = true;
}

bool Journal::WantsRewrite() const {
  return broken_ || size_ > std::max(rewrite_above_, rewrite_min_ + 2 * open_total_);
}

absl::Status Journal::Rewrite(const std::vector<jobs::JobRecord>& jobs) {
  std::string bytes(kFileHeader);
  std::vector<Written> frames;
  // It becomes the journal once all of it is on the disk.
  const int64_t synced = next_sequence_ + static_cast<int64_t>(jobs.size()) - 1;
  for (const jobs::JobRecord& job : jobs) {
    const std::string frame =
        Frame(job, job.public_job.SerializeAsString(), next_sequence_++, frames.empty(), 0, synced);
    frames.push_back(
        {job.id, jobs::IsTerminal(job.public_job.state()), static_cast<int64_t>(frame.size())});
    bytes += frame;
  }
  absl::Status replaced = os::AtomicWriteFile(path_, bytes, 0600);
  absl::StatusOr<os::UniqueFd> fd = os::Open(path_, O_RDWR | O_APPEND);
  if (replaced.ok()) replaced = fd.status();
  if (!replaced.ok()) {
    struct stat info;
    const std::shared_ptr<os::UniqueFd> old = File();
    if (old != nullptr && fstat(old->get(), &info) == 0 && info.st_nlink == 0) broken_ = true;
    rewrite_above_ = size_ + rewrite_min_;
    return replaced;
  }
  {
    MutexLock lock(mutex_);
    fd_ = std::make_shared<os::UniqueFd>(*std::move(fd));
  }
  size_ = kept_ = static_cast<int64_t>(bytes.size());
  rewrite_above_ = 0;
  broken_ = false;
  open_bytes_.clear();
  open_total_ = 0;
  for (const Written& frame : frames) Count(frame);
  return absl::OkStatus();
}

void Journal::Count(const Written& frame) {
  if (const auto known = open_bytes_.find(frame.id); known != open_bytes_.end()) {
    open_total_ -= known->second;
    open_bytes_.erase(known);
  }
  if (frame.ended) return;
  open_bytes_[frame.id] = frame.bytes;
  open_total_ += frame.bytes;
}

}  // namespace yoke::store
