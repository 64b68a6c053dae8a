// Bytes or lines of the ranks' log files.

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/os/clock.h"
#include "server/streams/attempt_walk.h"
#include "server/streams/log_moments.h"
#include "server/streams/stream_reader.h"
#include "server/streams/tailed_file.h"

namespace yoke::streams {
namespace {

using Frame = v1::TailLogsResponse;
using AttemptDir = std::function<std::string(int attempt)>;

constexpr size_t kChunkBytes = 64 * 1024;
// Looked through in one turn for a line that is wanted.
constexpr size_t kSearchedBytes = 1024 * 1024;
constexpr int kPrepareRank = -1;
// A line that goes on, e.g. a progress bar, is shown at most so often.
constexpr int64_t kUnfinishedIntervalMs = 1000;

class LogSource : public FrameSource<Frame> {
 public:
  LogSource(AttemptWalk walk, AttemptDir attempt_dir, const SourceOptions& options,
            LineFilter filter, Position position)
      : walk_(std::move(walk)),
        attempt_dir_(std::move(attempt_dir)),
        options_(options),
        filter_(std::move(filter)),
        position_(std::move(position)) {}

  absl::StatusOr<Pull> Next(Frame& frame) override {
    while (true) {
      walk_.Begin(position_);
      YOKE_ASSIGN_OR_RETURN(const Pull pull, ReadSome(frame));
      if (pull != Pull::kNothing) return pull;
      YOKE_ASSIGN_OR_RETURN(const AttemptWalk::Step step, walk_.AtEnd(position_, options_.follow));
      switch (step) {
        case AttemptWalk::Step::kRead:
          break;
        case AttemptWalk::Step::kAdvanced:
          files_.clear();
          turn_ = 0;
          break;
        case AttemptWalk::Step::kWait:
          return Pull::kNothing;
        case AttemptWalk::Step::kEnd:
          *frame.mutable_end() = walk_.EndFrame();
          return Finished(frame);
      }
    }
  }

  std::string ResumeToken() const override {
    return EncodeToken(StreamKind::kLogs, walk_.job_id(), position_);
  }

  Wait Waiting() const override {
    Wait wait;
    wait.job = walk_.job().name();
    wait.suffix = ".log";
    if (position_.attempt > 0) wait.folder = attempt_dir_(position_.attempt);
    for (const auto& [rank, open] : files_)
      wait.due_ms = std::min(wait.due_ms, open.unfinished_due_ms);
    return wait;
  }

  void JobChanged() override { walk_.JobChanged(); }

  // Starts `lines` lines before the end of each file of the newest attempt.
  absl::Status SeekToTail(int64_t lines) {
    if (walk_.job().attempts_size() == 0) return absl::OkStatus();
    position_ = {};
    position_.attempt = walk_.job().attempts(walk_.job().attempts_size() - 1).number();
    for (const int rank : Ranks()) {
      YOKE_ASSIGN_OR_RETURN(const int64_t offset, OpenOf(rank).file.TailOffset(lines));
      position_.offsets[rank] = std::max(offset, OpenOf(rank).moments.begin);
    }
    return absl::OkStatus();
  }

 private:
  // A file of the position's attempt.
  struct Open {
    TailedFile file;
    LogMoments moments;
    std::string unfinished;  // sent last
    int64_t unfinished_due_ms = kNever, unfinished_sent_ms = 0;
  };

  // A chunk or gap of the next rank that has any: ranks take turns.
  absl::StatusOr<Pull> ReadSome(Frame& frame) {
    const std::vector<int> ranks = Ranks();
    for (size_t i = 0; i < ranks.size(); ++i) {
      const int rank = ranks[(turn_ + i) % ranks.size()];
      YOKE_ASSIGN_OR_RETURN(const Pull pull, ReadRank(rank, frame));
      if (pull == Pull::kNothing) continue;
      turn_ = (turn_ + i + (pull == Pull::kFrame ? 1 : 0)) % ranks.size();
      return pull;
    }
    return Pull::kNothing;
  }

  absl::StatusOr<Pull> ReadRank(int rank, Frame& frame) {
    Open& open = OpenOf(rank);
    int64_t& offset = position_.offsets[rank];
    offset = std::max(offset, open.moments.begin);
    std::string out;
    for (size_t searched = 0; searched < kSearchedBytes;) {
      const size_t limit = static_cast<size_t>(
          std::min<int64_t>(kChunkBytes, std::max<int64_t>(0, open.moments.end - offset)));
      YOKE_ASSIGN_OR_RETURN(Piece piece, open.file.ReadPiece(offset, limit));
      if (piece.gap_to != offset) return GapFrame(rank, offset, piece.gap_to, frame);
      if (piece.bytes.empty()) return Pull::kNothing;
      if (!options_.lines) {
        offset += static_cast<int64_t>(piece.bytes.size());
        return ChunkFrame(rank, std::move(piece.bytes), frame);
      }
      const bool at_end = piece.bytes.size() < limit;
      const bool complete = !options_.follow || walk_.AttemptDone(position_.attempt) ||
                            offset + static_cast<int64_t>(piece.bytes.size()) == open.moments.end;
      size_t taken = filter_.Take(piece.bytes, at_end && complete, out);
      // A line as long as a block is cut.
      if (taken == 0 && !at_end) taken = filter_.Take(piece.bytes, true, out);
      offset += static_cast<int64_t>(taken);
      searched += taken;
      if (!out.empty()) {
        open.unfinished.clear();
        open.unfinished_due_ms = kNever;
        return ChunkFrame(rank, std::move(out), frame);
      }
      if (taken < piece.bytes.size() && at_end)
        return ShowUnfinished(rank, open, piece.bytes.substr(taken), frame);
    }
    return Pull::kMore;
  }

  // What a line that goes on looks like now: it will come again, when it is whole.
  absl::StatusOr<Pull> ShowUnfinished(int rank, Open& open, std::string state, Frame& frame) {
    open.unfinished_due_ms = kNever;
    while (!state.empty() && state.back() == '\r') state.pop_back();
    if (state.empty() || state == open.unfinished || !filter_.Wants(state)) return Pull::kNothing;
    const int64_t now = os::BootMilliseconds();
    if (now < open.unfinished_sent_ms + kUnfinishedIntervalMs) {
      open.unfinished_due_ms = open.unfinished_sent_ms + kUnfinishedIntervalMs;
      return Pull::kNothing;
    }
    open.unfinished = state;
    open.unfinished_sent_ms = now;
    frame.mutable_chunk()->set_unfinished(true);
    return ChunkFrame(rank, std::move(state), frame);
  }

  Pull ChunkFrame(int rank, std::string bytes, Frame& frame) const {
    v1::TailLogsResponse::Chunk& chunk = *frame.mutable_chunk();
    chunk.set_attempt(position_.attempt);
    chunk.set_rank(rank);
    chunk.set_data(std::move(bytes));
    return Finished(frame);
  }

  // Bytes that are not there any more: behind `to` after a cut, before it where old ones were given
  // up.
  Pull GapFrame(int rank, int64_t& offset, int64_t to, Frame& frame) const {
    v1::TailLogsResponse::Gap& gap = *frame.mutable_gap();
    gap.set_attempt(position_.attempt);
    gap.set_rank(rank);
    gap.set_from(std::min(offset, to));
    gap.set_to(std::max(offset, to));
    offset = to;
    return Finished(frame);
  }

  Pull Finished(Frame& frame) const {
    frame.set_resume_token(ResumeToken());
    return Pull::kFrame;
  }

  std::vector<int> Ranks() const {
    const int world_size = walk_.WorldSize(position_);
    if (world_size == 0) return {};
    if (options_.rank.has_value()) return {*options_.rank};
    std::vector<int> ranks;
    for (int rank = 0; rank < world_size; ++rank) ranks.push_back(rank);
    return ranks;
  }

  Open& OpenOf(int rank) {
    const auto found = files_.find(rank);
    if (found != files_.end()) return found->second;
    const std::string name = rank == kPrepareRank ? "prepare.log" : ipc::RankLogName(rank);
    const std::string path = absl::StrCat(attempt_dir_(position_.attempt), "/", name);
    return files_
        .emplace(rank, Open{TailedFile(path), FindMoments(path, options_.since, options_.until)})
        .first->second;
  }

  AttemptWalk walk_;
  AttemptDir attempt_dir_;
  SourceOptions options_;
  LineFilter filter_;
  Position position_;
  std::map<int, Open> files_;  // of position_.attempt
  size_t turn_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrameSource<Frame>>> OpenLogs(jobs::JobStore& store,
                                                             const AttemptDir& attempt_dir,
                                                             const SourceOptions& options) {
  YOKE_ASSIGN_OR_RETURN(AttemptWalk walk, AttemptWalk::Make(store, options.job_id));
  YOKE_ASSIGN_OR_RETURN(LineFilter filter, LineFilter::Make(options.choice));
  Position position;
  if (!options.resume_token.empty()) {
    YOKE_ASSIGN_OR_RETURN(position,
                          DecodeToken(StreamKind::kLogs, walk.job_id(), options.resume_token));
  }
  auto source = std::make_unique<LogSource>(std::move(walk), attempt_dir, options,
                                            std::move(filter), std::move(position));
  if (options.resume_token.empty() && options.tail_lines.has_value()) {
    YOKE_RETURN_IF_ERROR(source->SeekToTail(*options.tail_lines));
  }
  return source;
}

}  // namespace yoke::streams
