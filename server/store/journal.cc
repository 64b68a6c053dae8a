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
#include "common/os/file.h"
#include "server/jobs/state_machine.h"
#include "yoke/storage/v1/stored_job.pb.h"

namespace yoke::store {
namespace {

constexpr std::string_view kFileHeader = "YOKEJRN1";
constexpr std::string_view kMarker = "YJR1";
constexpr size_t kFrameHeaderBytes = 20;     // marker, length, sequence, CRC
constexpr uint32_t kPayloadMax = 64u << 20;  // a length beyond it is damage
constexpr size_t kFileMax = size_t{4} << 30;
constexpr int64_t kRewriteMin = int64_t{4} << 20;  // a smaller file is left as it is

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

std::string Serialise(const jobs::JobRecord& job) {
  storage::v1::StoredJob stored;
  stored.set_id(job.id);
  stored.set_sequence(job.sequence);
  *stored.mutable_job() = job.public_job;
  stored.mutable_user_set()->Assign(job.user_set.begin(), job.user_set.end());
  stored.set_request_id(job.request_id);
  stored.set_request_hash(job.request_hash);
  stored.set_stop_requested(job.stop_requested);
  stored.set_stop_reason(job.stop_reason);
  stored.set_stop_grace_seconds(job.stop_grace_seconds);
  stored.set_uid(job.uid);
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

std::string Frame(const jobs::JobRecord& job, int64_t sequence) {
  const std::string payload = Serialise(job);
  std::string numbers;
  AppendNumber(numbers, static_cast<uint32_t>(payload.size()));
  AppendNumber(numbers, static_cast<uint64_t>(sequence));
  std::string frame(kMarker);
  frame += numbers;
  AppendNumber(frame, Crc32c(payload, Crc32c(numbers)));
  return frame + payload;
}

// The size of the whole, undamaged frame that `bytes` begins with; 0 if it begins with none.
size_t FrameSize(std::string_view bytes) {
  if (bytes.size() < kFrameHeaderBytes || bytes.substr(0, kMarker.size()) != kMarker) return 0;
  const uint32_t length = ReadNumber<uint32_t>(bytes.substr(4));
  if (length > kPayloadMax || bytes.size() - kFrameHeaderBytes < length) return 0;
  const uint32_t crc = Crc32c(bytes.substr(kFrameHeaderBytes, length), Crc32c(bytes.substr(4, 12)));
  return crc == ReadNumber<uint32_t>(bytes.substr(16)) ? kFrameHeaderBytes + length : 0;
}

}  // namespace

absl::StatusOr<Journal::Opened> Journal::Open(const std::string& path) {
  Opened opened;
  opened.journal.reset(new Journal(path));
  Journal& journal = *opened.journal;
  const absl::StatusOr<std::string> bytes = os::ReadFile(path, kFileMax);
  if (!bytes.ok() && !absl::IsNotFound(bytes.status())) return bytes.status();
  opened.created = !bytes.ok();
  if (opened.created) {
    YOKE_RETURN_IF_ERROR(journal.Rewrite({}));
    return opened;
  }
  std::map<std::string, size_t> place;
  const std::string_view all = *bytes;
  size_t at = all.substr(0, kFileHeader.size()) == kFileHeader ? kFileHeader.size() : 0;
  size_t good_end = at;
  while (at < all.size()) {
    const size_t size = FrameSize(all.substr(at));
    jobs::JobRecord job;
    if (size == 0 || !Parse(all.substr(at + kFrameHeaderBytes, size - kFrameHeaderBytes), job)) {
      const size_t next = all.find(kMarker, at + 1);
      at = next == std::string_view::npos ? all.size() : next;
      continue;
    }
    opened.bytes_skipped += static_cast<int64_t>(at - good_end);
    journal.next_sequence_ = static_cast<int64_t>(ReadNumber<uint64_t>(all.substr(at + 8))) + 1;
    journal.Count({job.id, jobs::IsTerminal(job.public_job.state()), static_cast<int64_t>(size)});
    at += size;
    good_end = at;
    const auto [known, fresh] = place.emplace(job.id, opened.jobs.size());
    if (fresh) {
      opened.jobs.push_back(std::move(job));
    } else {
      opened.jobs[known->second] = std::move(job);
    }
  }
  opened.bytes_cut = static_cast<int64_t>(all.size() - good_end);
  journal.size_ = journal.kept_ = static_cast<int64_t>(good_end);
  YOKE_ASSIGN_OR_RETURN(journal.fd_, os::Open(path, O_RDWR | O_APPEND));
  if (opened.bytes_cut > 0) {
    if (ftruncate(journal.fd_.get(), journal.size_) != 0)
      return os::ErrnoStatus(errno, absl::StrCat("cannot cut the torn end of ", path));
    YOKE_RETURN_IF_ERROR(os::SyncFile(journal.fd_.get(), path));
  }
  // What was skipped would hide frames behind it from an older reader, and a file without its
  // header is none of ours.
  journal.broken_ = opened.bytes_skipped > 0 || good_end < kFileHeader.size();
  return opened;
}

void Journal::Add(const jobs::JobRecord& job) {
  const std::string frame = Frame(job, next_sequence_++);
  added_.push_back(
      {job.id, jobs::IsTerminal(job.public_job.state()), static_cast<int64_t>(frame.size())});
  pending_ += frame;
}

absl::Status Journal::Flush() {
  if (pending_.empty()) return absl::OkStatus();
  if (broken_)
    return absl::UnavailableError(
        absl::StrCat(path_, " cannot be written to since an earlier error; try again"));
  absl::Status status = os::WriteAll(fd_.get(), pending_, path_);
  if (status.ok() && fdatasync(fd_.get()) != 0) {
    status = os::ErrnoStatus(errno, absl::StrCat("cannot sync ", path_));
    // Pages may have been dropped without being written: asking again would not tell.
    broken_ = true;
  }
  size_ += static_cast<int64_t>(pending_.size());
  pending_.clear();
  if (!status.ok()) Undo();
  return status;
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
  if (ftruncate(fd_.get(), size_) != 0 || fdatasync(fd_.get()) != 0) broken_ = true;
}

bool Journal::WantsRewrite() const {
  return broken_ || size_ > std::max(rewrite_above_, kRewriteMin + 2 * open_total_);
}

absl::Status Journal::Rewrite(const std::vector<jobs::JobRecord>& jobs) {
  std::string bytes(kFileHeader);
  std::vector<Written> frames;
  for (const jobs::JobRecord& job : jobs) {
    const std::string frame = Frame(job, next_sequence_++);
    frames.push_back(
        {job.id, jobs::IsTerminal(job.public_job.state()), static_cast<int64_t>(frame.size())});
    bytes += frame;
  }
  absl::Status replaced = os::AtomicWriteFile(path_, bytes, 0600);
  absl::StatusOr<os::UniqueFd> fd = os::Open(path_, O_RDWR | O_APPEND);
  if (replaced.ok()) replaced = fd.status();
  if (!replaced.ok()) {
    struct stat info;
    if (fd_.valid() && fstat(fd_.get(), &info) == 0 && info.st_nlink == 0) broken_ = true;
    rewrite_above_ = size_ + kRewriteMin;
    return replaced;
  }
  fd_ = *std::move(fd);
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
