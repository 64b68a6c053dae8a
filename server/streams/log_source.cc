// Bytes of the ranks' log files.

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "server/streams/attempt_walk.h"
#include "server/streams/stream_reader.h"
#include "server/streams/tailed_file.h"
#include "server/streams/waiting.h"

namespace yoke::streams {
namespace {

using Frame = v1::TailLogsResponse;
using AttemptDir = std::function<std::string(int attempt)>;

constexpr size_t kChunkBytes = 64 * 1024;
constexpr int kPrepareRank = -1;

class LogSource : public FrameSource<Frame> {
 public:
  LogSource(AttemptWalk walk, AttemptDir attempt_dir, const SourceOptions& options, Position position)
      : walk_(std::move(walk)), attempt_dir_(std::move(attempt_dir)), options_(options), position_(std::move(position)) {}

  absl::StatusOr<std::optional<Frame>> Next(absl::Duration wait) override {
    return NextWithin(wait, [this] { return TryNext(); });
  }

  std::string ResumeToken() const override { return EncodeToken(StreamKind::kLogs, walk_.job_id(), position_); }

  // Starts `lines` lines before the end of each file of the newest attempt.
  absl::Status SeekToTail(int64_t lines) {
    if (walk_.job().attempts_size() == 0) return absl::OkStatus();
    position_ = {};
    position_.attempt = walk_.job().attempts(walk_.job().attempts_size() - 1).number();
    for (const int rank : Ranks()) {
      YOKE_ASSIGN_OR_RETURN(position_.offsets[rank], File(rank).TailOffset(lines));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::optional<Frame>> TryNext() {
    while (true) {
      walk_.Begin(position_);
      YOKE_ASSIGN_OR_RETURN(std::optional<Frame> frame, ReadSome());
      if (frame.has_value()) return frame;
      YOKE_ASSIGN_OR_RETURN(const AttemptWalk::Step step, walk_.AtEnd(position_, options_.follow));
      switch (step) {
        case AttemptWalk::Step::kRead: break;
        case AttemptWalk::Step::kAdvanced:
          files_.clear();
          turn_ = 0;
          break;
        case AttemptWalk::Step::kWait: return std::nullopt;
        case AttemptWalk::Step::kEnd: {
          Frame end;
          *end.mutable_end() = walk_.EndFrame();
          return Finished(std::move(end));
        }
      }
    }
  }

  // One chunk of the next rank that has any: ranks take turns.
  absl::StatusOr<std::optional<Frame>> ReadSome() {
    const std::vector<int> ranks = Ranks();
    for (size_t i = 0; i < ranks.size(); ++i) {
      const int rank = ranks[(turn_ + i) % ranks.size()];
      int64_t& offset = position_.offsets[rank];
      YOKE_ASSIGN_OR_RETURN(std::string bytes, File(rank).Read(offset, kChunkBytes));
      Frame frame;
      if (bytes.empty()) {
        YOKE_ASSIGN_OR_RETURN(const int64_t size, File(rank).Size());
        if (size >= offset) continue;
        // Shorter than what was read of it: somebody cut it.
        v1::TailLogsResponse::Gap& gap = *frame.mutable_gap();
        gap.set_attempt(position_.attempt);
        gap.set_rank(rank);
        gap.set_from(size);
        gap.set_to(offset);
        offset = size;
        return Finished(std::move(frame));
      }
      offset += static_cast<int64_t>(bytes.size());
      v1::TailLogsResponse::Chunk& chunk = *frame.mutable_chunk();
      chunk.set_attempt(position_.attempt);
      chunk.set_rank(rank);
      chunk.set_data(std::move(bytes));
      turn_ = (turn_ + i + 1) % ranks.size();
      return Finished(std::move(frame));
    }
    return std::nullopt;
  }

  std::optional<Frame> Finished(Frame frame) const {
    frame.set_resume_token(ResumeToken());
    return frame;
  }

  std::vector<int> Ranks() const {
    const int world_size = walk_.WorldSize(position_);
    if (world_size == 0) return {};
    if (options_.rank.has_value()) return {*options_.rank};
    std::vector<int> ranks;
    for (int rank = 0; rank < world_size; ++rank) ranks.push_back(rank);
    return ranks;
  }

  TailedFile& File(int rank) {
    const auto found = files_.find(rank);
    if (found != files_.end()) return found->second;
    const std::string name = rank == kPrepareRank ? "prepare.log" : ipc::RankLogName(rank);
    return files_.emplace(rank, TailedFile(absl::StrCat(attempt_dir_(position_.attempt), "/", name))).first->second;
  }

  AttemptWalk walk_;
  AttemptDir attempt_dir_;
  SourceOptions options_;
  Position position_;
  std::map<int, TailedFile> files_;  // of position_.attempt
  size_t turn_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrameSource<Frame>>> OpenLogs(jobs::JobStore& store, const AttemptDir& attempt_dir,
                                                             const SourceOptions& options) {
  YOKE_ASSIGN_OR_RETURN(AttemptWalk walk, AttemptWalk::Make(store, options.job_id));
  Position position;
  if (!options.resume_token.empty()) {
    YOKE_ASSIGN_OR_RETURN(position, DecodeToken(StreamKind::kLogs, walk.job_id(), options.resume_token));
  }
  auto source = std::make_unique<LogSource>(std::move(walk), attempt_dir, options, std::move(position));
  if (options.resume_token.empty() && options.tail_lines.has_value()) {
    YOKE_RETURN_IF_ERROR(source->SeekToTail(*options.tail_lines));
  }
  return source;
}

}  // namespace yoke::streams
